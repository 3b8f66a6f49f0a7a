-- Roles that the runner's schema is granted to. A superuser runs this once a server, before
-- `tradepulse-runner database migrate`; nobody logs in by a password.

-- Owns the schema and changes it. The runner never connects as this role.
CREATE ROLE tradepulse_owner LOGIN;
-- Appends: GRANT tradepulse_writer TO the role of each runner.
CREATE ROLE tradepulse_writer NOLOGIN;
-- Reads: auditors, and the operator's comparison before and after a release.
CREATE ROLE tradepulse_reader NOLOGIN;
