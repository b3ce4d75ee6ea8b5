-- Roles with no more rights than their work needs. Run by the owner of the tables, after db:migrate and again after each
-- later one; safe to repeat:
--
--   psql "$DATABASE_URL" -f deploy/postgres/roles.sql
--
-- All are groups without a login. Give each process a login of its own in one of them:
--
--   CREATE ROLE worker LOGIN PASSWORD '...' IN ROLE ingest_rw;
--   CREATE ROLE notifier LOGIN PASSWORD '...' IN ROLE ingest_notify;
--   CREATE ROLE analyst LOGIN PASSWORD '...' IN ROLE ingest_ro;
--   CREATE ROLE billing LOGIN PASSWORD '...' IN ROLE ingest_feed;
--   ALTER ROLE analyst SET search_path = readable;

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ingest_rw') THEN CREATE ROLE ingest_rw NOLOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ingest_ro') THEN CREATE ROLE ingest_ro NOLOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ingest_feed') THEN CREATE ROLE ingest_feed NOLOGIN; END IF;
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- The worker, and `ops` but for rebuild (which makes tables): rows, and nothing of the schema.
GRANT USAGE ON SCHEMA public TO ingest_rw;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ingest_rw;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ingest_rw;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO ingest_rw;
-- What a later migration makes is theirs at once: workers need not wait for another run of this file.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ingest_rw;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO ingest_rw;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO ingest_rw;
-- Which migrations were applied is the owner's to say.
DO $$ BEGIN
    IF to_regclass('public._prisma_migrations') IS NOT NULL THEN
        REVOKE INSERT, UPDATE, DELETE ON public._prisma_migrations FROM ingest_rw;
    END IF;
END $$;

-- Readers: statuses, times and links, through views that leave personal columns out. Views run with their owner's rights,
-- so that a reader needs none on the tables.
CREATE SCHEMA IF NOT EXISTS readable;
GRANT USAGE ON SCHEMA readable TO ingest_ro;

CREATE OR REPLACE VIEW readable.inquiries WITH (security_barrier) AS
SELECT id, environment, status, account_id, template_id, template_version_id, created_at, updated_at, started_at,
    completed_at, failed_at, marked_for_review_at, decisioned_at, expired_at, redacted_at, event_id, event_name,
    event_created_at, event_rank
FROM public.inquiries;

CREATE OR REPLACE VIEW readable.verifications WITH (security_barrier) AS
SELECT id, environment, inquiry_id, type, status, created_at, submitted_at, completed_at, redacted_at, event_id,
    event_name, event_created_at, event_rank
FROM public.verifications;

CREATE OR REPLACE VIEW readable.resources WITH (security_barrier) AS
SELECT id, environment, type, status, inquiry_id, event_id, event_name, event_created_at, event_rank
FROM public.resources;

CREATE OR REPLACE VIEW readable.events WITH (security_barrier) AS
SELECT id, environment, name, created_at, resource_type, resource_id, inquiry_id, received_at, processed_at, outcome
FROM public.events;

CREATE OR REPLACE VIEW readable.dead_letters WITH (security_barrier) AS
SELECT id, event_id, environment, reason, received_at, failed_at, attempts, state, resolved_at
FROM public.dead_letters;

CREATE OR REPLACE VIEW readable.inquiry_timeline WITH (security_barrier) AS
SELECT inquiry_id, event_id, event_name, event_created_at, received_at, status, out_of_order
FROM public.inquiry_timeline;

GRANT SELECT ON ALL TABLES IN SCHEMA readable TO ingest_ro;

-- The notifier (docs/deploy.md, The notifier): changes, and of the rows what a change tells. Before the migrations of the
-- feed there is nothing to grant.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ingest_notify') THEN CREATE ROLE ingest_notify NOLOGIN; END IF;
    GRANT USAGE ON SCHEMA public TO ingest_notify;
    IF to_regclass('public.notifications') IS NOT NULL THEN
        GRANT SELECT ON public.changes, public.change_ticks, public.change_feed TO ingest_notify;
        GRANT SELECT, INSERT, UPDATE ON public.change_consumers TO ingest_notify;
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.notifications, public.notification_readers TO ingest_notify;
        GRANT SELECT (id, version, event_id, status) ON public.inquiries TO ingest_notify;
        GRANT SELECT (id, version, event_id, status, inquiry_id) ON public.verifications, public.resources TO ingest_notify;
    END IF;
END $$;

-- Consumers of the change feed: changes, and their cursors. A consumer that reads rows too, as findInquiry of
-- @persona-ingest/reader does, sees personal columns. Grant it by itself:
--
--   GRANT SELECT ON public.inquiries, public.verifications, public.resources TO billing;
GRANT USAGE ON SCHEMA public TO ingest_feed;
DO $$ BEGIN
    IF to_regclass('public.change_consumers') IS NOT NULL THEN
        GRANT SELECT ON public.changes, public.change_ticks, public.change_feed TO ingest_feed;
        GRANT SELECT, INSERT, UPDATE ON public.change_consumers TO ingest_feed;
    END IF;
END $$;
