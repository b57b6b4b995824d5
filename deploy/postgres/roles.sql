-- A login and a database for each durable role, so that none reaches another's rows. Run once, as a
-- superuser:
--   psql -v issuance_password=… -v vault_password=… -v triggers_password=… -v console_password=… \
--        -f roles.sql
CREATE ROLE keystile_issuance LOGIN PASSWORD :'issuance_password';
CREATE ROLE keystile_vault LOGIN PASSWORD :'vault_password';
CREATE ROLE keystile_triggers LOGIN PASSWORD :'triggers_password';
CREATE ROLE keystile_console LOGIN PASSWORD :'console_password';

CREATE DATABASE keystile_issuance OWNER keystile_issuance;
CREATE DATABASE keystile_vault OWNER keystile_vault;
CREATE DATABASE keystile_triggers OWNER keystile_triggers;
CREATE DATABASE keystile_console OWNER keystile_console;

-- Postgres lets everybody connect to every database unless told otherwise.
REVOKE ALL ON DATABASE keystile_issuance, keystile_vault, keystile_triggers, keystile_console,
    postgres, template1 FROM PUBLIC;
