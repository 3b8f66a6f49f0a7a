-- oldest: 1
-- Copies of what the state volume holds, the newest few of each.
CREATE TABLE tradepulse.oms_snapshots (
    runner     text        NOT NULL,
    venue      text        NOT NULL,
    generation bigint      NOT NULL,
    sha256     text        NOT NULL,
    epoch      bigint      NOT NULL,
    payload    json        NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (runner, venue, generation, sha256)
);
CREATE TABLE tradepulse.strategy_states (
    runner    text             NOT NULL,
    strategy  text             NOT NULL,
    at        double precision NOT NULL,
    sha256    text             NOT NULL,
    epoch     bigint           NOT NULL,
    payload   json             NOT NULL,
    stored_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (runner, strategy, at)
);
GRANT SELECT, INSERT, DELETE ON tradepulse.oms_snapshots, tradepulse.strategy_states
    TO tradepulse_writer;
GRANT SELECT ON tradepulse.oms_snapshots, tradepulse.strategy_states TO tradepulse_reader;
