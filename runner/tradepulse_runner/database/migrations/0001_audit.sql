-- oldest: 1
-- The audit trail: one hash chain a runner, appended to and never changed.
CREATE TABLE tradepulse.audit_records (
    runner    text             NOT NULL,  -- namespace/name
    seq       bigint           NOT NULL,  -- from 1, without a gap
    record_id text             NOT NULL,  -- of what happened: sent twice, it is the same
    at        double precision NOT NULL,  -- unix seconds, when it was put into the spool
    epoch     bigint           NOT NULL,  -- of the writer
    source    text             NOT NULL,  -- venue, or the part of the runner
    kind      text             NOT NULL,
    body      json             NOT NULL,  -- json, not jsonb: the text that the digest is of
    previous  text             NOT NULL,  -- digest of seq - 1
    digest    text             NOT NULL,
    stored_at timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (runner, seq),
    UNIQUE (runner, record_id)
);
CREATE INDEX audit_records_at ON tradepulse.audit_records (runner, at);

-- Where each chain ends, and up to where the spool of each state volume is in it: changed in the
-- transaction that appends, so that neither is ever ahead of the other.
CREATE TABLE tradepulse.audit_heads (
    runner text   PRIMARY KEY,
    seq    bigint NOT NULL,
    digest text   NOT NULL
);
CREATE TABLE tradepulse.audit_positions (
    runner   text   NOT NULL,
    origin   text   NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (runner, origin)
);

CREATE FUNCTION tradepulse.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tradepulse.audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION tradepulse.refuse_change();

GRANT SELECT, INSERT ON tradepulse.audit_records TO tradepulse_writer;
GRANT SELECT, INSERT, UPDATE ON tradepulse.audit_heads, tradepulse.audit_positions
    TO tradepulse_writer;
GRANT SELECT ON tradepulse.audit_records, tradepulse.audit_heads, tradepulse.audit_positions
    TO tradepulse_reader;
