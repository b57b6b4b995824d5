-- A login and a database for each durable role, so that none reaches another's rows. Run as a
-- superuser; once more does no harm, and sets the passwords anew:
--   psql -v issuance_password=… -v vault_password=… -v triggers_password=… -v console_password=… \
--        -f roles.sql
SELECT format('CREATE ROLE %I LOGIN', 'keystile_' || role)
    FROM unnest(ARRAY['issuance', 'vault', 'triggers', 'console']) AS role
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keystile_' || role)
\gexec
ALTER ROLE keystile_issuance PASSWORD :'issuance_password';
ALTER ROLE keystile_vault PASSWORD :'vault_password';
ALTER ROLE keystile_triggers PASSWORD :'triggers_password';
ALTER ROLE keystile_console PASSWORD :'console_password';

SELECT format('CREATE DATABASE %I OWNER %I', 'keystile_' || role, 'keystile_' || role)
    FROM unnest(ARRAY['issuance', 'vault', 'triggers', 'console']) AS role
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'keystile_' || role)
\gexec

-- Postgres lets everybody connect to every database unless told otherwise.
REVOKE ALL ON DATABASE keystile_issuance, keystile_vault, keystile_triggers, keystile_console,
    postgres, template1 FROM PUBLIC;
