-- The change feed: every change of a row of "inquiries", "verifications" or "resources" is announced once (docs/feed.md).
-- Older workers go on: the new columns have defaults, and a trigger announces what they write.

-- "version" rises by one with each announced change. A statement that announces its own changes sets "was_changed" to
-- whether it changed a public column, and keeps the status before it; its RETURNING reads both, since PostgreSQL 15
-- can't return old values. Null: the row was inserted by another writer, for which the trigger announces.
ALTER TABLE "inquiries"
    ADD COLUMN "version" BIGINT NOT NULL DEFAULT 1,
    ADD COLUMN "was_changed" BOOLEAN,
    ADD COLUMN "previous_status" TEXT;
ALTER TABLE "verifications"
    ADD COLUMN "version" BIGINT NOT NULL DEFAULT 1,
    ADD COLUMN "was_changed" BOOLEAN,
    ADD COLUMN "previous_status" TEXT;
ALTER TABLE "resources"
    ADD COLUMN "version" BIGINT NOT NULL DEFAULT 1,
    ADD COLUMN "was_changed" BOOLEAN,
    ADD COLUMN "previous_status" TEXT;

-- The version of a row that was removed; it goes on where the row comes back.
CREATE TABLE "removed_objects" (
    "id" TEXT COLLATE "C" NOT NULL,
    "version" BIGINT NOT NULL,
    CONSTRAINT "removed_objects_pkey" PRIMARY KEY ("id")
);

-- Insert only. Without CACHE: the numbers of two sessions must follow the locks of a row.
CREATE SEQUENCE "changes_seq_seq" AS BIGINT;
CREATE TABLE "changes" (
    "seq" BIGINT NOT NULL DEFAULT nextval('changes_seq_seq'),
    "version" BIGINT NOT NULL,
    "changed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    -- The transaction that wrote the row: a tick tells by it whether the row was visible.
    "xid" XID8 NOT NULL DEFAULT pg_current_xact_id(),
    -- The partition. Retention empties a whole partition.
    "slot" SMALLINT NOT NULL,
    "family" TEXT NOT NULL,
    "object_id" TEXT COLLATE "C" NOT NULL,
    "inquiry_id" TEXT COLLATE "C",
    "cause" TEXT NOT NULL,
    "event_id" TEXT COLLATE "C",
    "status" TEXT,
    "previous_status" TEXT
) PARTITION BY LIST ("slot");
ALTER SEQUENCE "changes_seq_seq" OWNED BY "changes"."seq";
-- One index: it finds the changes of a transaction, and a part of them in their order.
CREATE INDEX "changes_xid_seq_idx" ON "changes" ("xid", "seq");
CREATE TABLE "changes_0" PARTITION OF "changes" FOR VALUES IN (0);
CREATE TABLE "changes_1" PARTITION OF "changes" FOR VALUES IN (1);
CREATE TABLE "changes_2" PARTITION OF "changes" FOR VALUES IN (2);
CREATE TABLE "changes_3" PARTITION OF "changes" FOR VALUES IN (3);
CREATE TABLE "changes_4" PARTITION OF "changes" FOR VALUES IN (4);
CREATE TABLE "changes_5" PARTITION OF "changes" FOR VALUES IN (5);
CREATE TABLE "changes_6" PARTITION OF "changes" FOR VALUES IN (6);
CREATE TABLE "changes_7" PARTITION OF "changes" FOR VALUES IN (7);
-- Retention deletes rows, which a publication of all tables refuses for a table without an identity.
ALTER TABLE "changes_0" REPLICA IDENTITY FULL;
ALTER TABLE "changes_1" REPLICA IDENTITY FULL;
ALTER TABLE "changes_2" REPLICA IDENTITY FULL;
ALTER TABLE "changes_3" REPLICA IDENTITY FULL;
ALTER TABLE "changes_4" REPLICA IDENTITY FULL;
ALTER TABLE "changes_5" REPLICA IDENTITY FULL;
ALTER TABLE "changes_6" REPLICA IDENTITY FULL;
ALTER TABLE "changes_7" REPLICA IDENTITY FULL;

-- Changes of a transaction that may still change the same objects again. They move to "changes" when it commits, so that no
-- other session ever sees a row of this table.
CREATE UNLOGGED TABLE "changes_pending" (
    "object_id" TEXT COLLATE "C" NOT NULL,
    "version" BIGINT NOT NULL,
    "family" TEXT NOT NULL,
    "inquiry_id" TEXT COLLATE "C",
    "cause" TEXT NOT NULL,
    "event_id" TEXT COLLATE "C",
    "status" TEXT,
    "previous_status" TEXT,
    "xid" XID8 NOT NULL,
    -- Whether it is the first of its transaction, whose trigger moves all. A trigger for each would take half as long as the
    -- writes, within one COMMIT.
    "is_first" BOOLEAN NOT NULL,
    CONSTRAINT "changes_pending_pkey" PRIMARY KEY ("object_id")
);
-- Removed rows of other transactions may lie in the table for long.
CREATE INDEX "changes_pending_xid_idx" ON "changes_pending" ("xid");

-- A tick is a stored snapshot: a change belongs to the first tick whose snapshot sees its transaction.
CREATE TABLE "change_ticks" (
    "tick" BIGINT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "snapshot" PG_SNAPSHOT NOT NULL,
    -- The newest number that was drawn at the tick: the differences estimate how many changes lie between ticks.
    "last_seq" BIGINT NOT NULL,
    "system_identifier" BIGINT NOT NULL,
    "timeline" INTEGER NOT NULL,
    CONSTRAINT "change_ticks_pkey" PRIMARY KEY ("tick")
);

CREATE TABLE "change_consumers" (
    "name" TEXT COLLATE "C" NOT NULL,
    "tick" BIGINT NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT "change_consumers_pkey" PRIMARY KEY ("name")
);

-- One row. Cursors below "oldest_tick" have expired. Writers put changes into the partition "slot".
CREATE TABLE "change_feed" (
    "id" SMALLINT NOT NULL,
    "oldest_tick" BIGINT NOT NULL,
    "slot" SMALLINT NOT NULL,
    "slot_since" TIMESTAMPTZ(3) NOT NULL,
    "system_identifier" BIGINT NOT NULL,
    "timeline" INTEGER NOT NULL,
    -- The table "changes". A dump that is restored on the same server makes another one.
    "changes_oid" OID NOT NULL,
    CONSTRAINT "change_feed_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "change_feed_single_row_check" CHECK ("id" = 1)
);

-- The timeline of the write-ahead log. The control file names it too, but after a promotion only with the next checkpoint.
CREATE FUNCTION "database_lineage"(OUT "system_identifier" BIGINT, OUT "timeline" INTEGER) LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT c."system_identifier" INTO "system_identifier" FROM pg_control_system() c;
    BEGIN
        "timeline" := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int;
    EXCEPTION WHEN OTHERS THEN
        -- A server without this function, such as one with storage of its own.
        SELECT c."timeline_id" INTO "timeline" FROM pg_control_checkpoint() c;
    END;
END $$;

INSERT INTO "change_feed" ("id", "oldest_tick", "slot", "slot_since", "system_identifier", "timeline", "changes_oid")
SELECT 1, 0, 0, clock_timestamp(), l."system_identifier", l."timeline", 'changes'::regclass FROM database_lineage() l;

-- Whether an object of a type belongs to an inquiry: the rule of the generated column "resources"."inquiry_id".
CREATE FUNCTION "belongs_to_inquiry"("type" TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT split_part("type", '/', 1) IN ('verification', 'report', 'document', 'selfie')
        OR "type" IN ('inquiry-session', 'session')
$$;

-- Of several causes the last in this list counts.
CREATE FUNCTION "later_cause"("one" TEXT, "other" TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN array_position(c, "one") >= array_position(c, "other") THEN "one" ELSE "other" END
    FROM (VALUES (ARRAY['event', 'replay', 'redaction', 'erasure', 'rebuild', 'hydration'])) AS causes(c)
$$;

-- Announces changes that the writing statement does not announce itself: redactions, erasures, moves and rebuilds, and
-- writes of older workers and by hand. The setting persona_ingest.cause tells the cause; 'none' announces nothing. All
-- changes of an object in one transaction are one. It runs with the owner's rights: older workers and people have none on
-- the feed.
CREATE FUNCTION "announce_change"() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    "told_cause" CONSTANT TEXT := COALESCE(NULLIF(current_setting('persona_ingest.cause', true), ''), 'rebuild');
    "object" RECORD;
    "change" public."changes_pending";
    "earlier" RECORD;
BEGIN
    "object" := COALESCE(NEW, OLD);
    IF "told_cause" = 'none' THEN RETURN "object"; END IF;
    "change"."object_id" := "object"."id";
    "change"."family" := TG_ARGV[0];
    "change"."cause" := "told_cause";
    IF TG_ARGV[0] = 'inquiry' THEN
        "change"."inquiry_id" := "object"."id";
    ELSIF TG_ARGV[0] = 'verification' THEN
        "change"."inquiry_id" := "object"."inquiry_id";
    ELSIF public.belongs_to_inquiry("object"."type") THEN
        "change"."inquiry_id" := "object"."claim_inquiry_id";
    END IF;
    IF TG_OP <> 'DELETE' THEN
        "change"."status" := NEW."status";
        "change"."event_id" := NEW."event_id";
    END IF;
    IF TG_OP <> 'INSERT' THEN
        "change"."previous_status" := OLD."status";
    END IF;
    SELECT p."version", p."cause", p."previous_status" INTO "earlier"
    FROM public."changes_pending" p WHERE p."object_id" = "object"."id";
    IF FOUND THEN
        "change"."version" := "earlier"."version";
        "change"."cause" := public.later_cause("earlier"."cause", "told_cause");
        "change"."previous_status" := "earlier"."previous_status";
    ELSIF TG_OP = 'INSERT' THEN
        "change"."version" := 1 + COALESCE((SELECT r."version" FROM public."removed_objects" r WHERE r."id" = NEW."id"), 0);
    ELSE
        "change"."version" := OLD."version" + 1;
    END IF;
    "change"."xid" := pg_current_xact_id();
    "change"."is_first" := current_setting('persona_ingest.pending_of', true) IS DISTINCT FROM "change"."xid"::text;
    IF "change"."is_first" THEN
        PERFORM set_config('persona_ingest.pending_of', "change"."xid"::text, true);
    END IF;
    INSERT INTO public."changes_pending" SELECT "change".*
    ON CONFLICT ("object_id") DO UPDATE SET "family" = excluded."family", "inquiry_id" = excluded."inquiry_id",
        "cause" = excluded."cause", "event_id" = excluded."event_id", "status" = excluded."status";
    IF TG_OP = 'UPDATE' THEN
        NEW."version" := "change"."version";
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO public."removed_objects" ("id", "version") VALUES (OLD."id", "change"."version")
        ON CONFLICT ("id") DO UPDATE SET "version" = excluded."version";
    ELSIF NEW."version" <> "change"."version" THEN
        EXECUTE format('UPDATE public.%I SET "version" = $2 WHERE "id" = $1', TG_TABLE_NAME)
        USING NEW."id", "change"."version";
    END IF;
    RETURN "object";
END $$;

-- Runs once when a transaction commits, under its locks on the rows: the numbers of an object follow its versions.
CREATE FUNCTION "publish_change"() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM set_config('persona_ingest.pending_of', '', true);
    WITH "ended" AS (
        DELETE FROM public."changes_pending" p WHERE p."xid" = pg_current_xact_id() RETURNING p.*
    )
    INSERT INTO public."changes" ("slot", "family", "object_id", "inquiry_id", "version", "cause", "event_id", "status", "previous_status")
    SELECT f."slot", e."family", e."object_id", e."inquiry_id", e."version", e."cause", e."event_id", e."status", e."previous_status"
    FROM "ended" e, public."change_feed" f WHERE f."id" = 1;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER "changes_pending_ended" AFTER INSERT ON "changes_pending"
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW."is_first") EXECUTE FUNCTION publish_change();

-- Removals run alone, since a statement that inserts the row again can't see a version that is written meanwhile. An
-- exclusive write has moved the epoch already.
CREATE FUNCTION "begin_removal"() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(723114601);
    UPDATE "ingest_state" SET "epoch" = "epoch" + 1 WHERE "id" = 1 AND "xmin" <> pg_current_xact_id()::xid;
    IF TG_OP = 'TRUNCATE' THEN
        -- Announces each row.
        EXECUTE format('DELETE FROM public.%I', TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER "inquiries_removal" BEFORE DELETE OR TRUNCATE ON "inquiries"
    FOR EACH STATEMENT EXECUTE FUNCTION begin_removal();
CREATE TRIGGER "verifications_removal" BEFORE DELETE OR TRUNCATE ON "verifications"
    FOR EACH STATEMENT EXECUTE FUNCTION begin_removal();
CREATE TRIGGER "resources_removal" BEFORE DELETE OR TRUNCATE ON "resources"
    FOR EACH STATEMENT EXECUTE FUNCTION begin_removal();

-- A statement that raised the version, or set "was_changed" of a new row, has announced the change itself.
CREATE TRIGGER "inquiries_inserted" AFTER INSERT ON "inquiries" FOR EACH ROW
    WHEN (NEW."was_changed" IS NULL) EXECUTE FUNCTION announce_change('inquiry');
CREATE TRIGGER "inquiries_removed" AFTER DELETE ON "inquiries" FOR EACH ROW EXECUTE FUNCTION announce_change('inquiry');
CREATE TRIGGER "inquiries_updated" BEFORE UPDATE ON "inquiries" FOR EACH ROW
    WHEN (NEW."version" = OLD."version" AND (
        OLD."id", OLD."environment", OLD."status", OLD."reference_id", OLD."account_id", OLD."template_id",
        OLD."template_version_id", OLD."tags", OLD."created_at", OLD."updated_at", OLD."started_at", OLD."completed_at",
        OLD."failed_at", OLD."marked_for_review_at", OLD."decisioned_at", OLD."expired_at", OLD."redacted_at",
        OLD."attributes", OLD."fields", OLD."relationships", OLD."event_id", OLD."event_name", OLD."event_created_at",
        OLD."event_rank"
    ) IS DISTINCT FROM (
        NEW."id", NEW."environment", NEW."status", NEW."reference_id", NEW."account_id", NEW."template_id",
        NEW."template_version_id", NEW."tags", NEW."created_at", NEW."updated_at", NEW."started_at", NEW."completed_at",
        NEW."failed_at", NEW."marked_for_review_at", NEW."decisioned_at", NEW."expired_at", NEW."redacted_at",
        NEW."attributes", NEW."fields", NEW."relationships", NEW."event_id", NEW."event_name", NEW."event_created_at",
        NEW."event_rank"
    )) EXECUTE FUNCTION announce_change('inquiry');

CREATE TRIGGER "verifications_inserted" AFTER INSERT ON "verifications" FOR EACH ROW
    WHEN (NEW."was_changed" IS NULL) EXECUTE FUNCTION announce_change('verification');
CREATE TRIGGER "verifications_removed" AFTER DELETE ON "verifications" FOR EACH ROW
    EXECUTE FUNCTION announce_change('verification');
CREATE TRIGGER "verifications_updated" BEFORE UPDATE ON "verifications" FOR EACH ROW
    WHEN (NEW."version" = OLD."version" AND (
        OLD."id", OLD."environment", OLD."inquiry_id", OLD."type", OLD."status", OLD."country_code", OLD."created_at",
        OLD."submitted_at", OLD."completed_at", OLD."redacted_at", OLD."checks", OLD."attributes", OLD."relationships",
        OLD."event_id", OLD."event_name", OLD."event_created_at", OLD."event_rank"
    ) IS DISTINCT FROM (
        NEW."id", NEW."environment", NEW."inquiry_id", NEW."type", NEW."status", NEW."country_code", NEW."created_at",
        NEW."submitted_at", NEW."completed_at", NEW."redacted_at", NEW."checks", NEW."attributes", NEW."relationships",
        NEW."event_id", NEW."event_name", NEW."event_created_at", NEW."event_rank"
    )) EXECUTE FUNCTION announce_change('verification');

-- A BEFORE trigger can't see the generated column "inquiry_id" of the new row.
CREATE TRIGGER "resources_inserted" AFTER INSERT ON "resources" FOR EACH ROW
    WHEN (NEW."was_changed" IS NULL) EXECUTE FUNCTION announce_change('resource');
CREATE TRIGGER "resources_removed" AFTER DELETE ON "resources" FOR EACH ROW EXECUTE FUNCTION announce_change('resource');
CREATE TRIGGER "resources_updated" BEFORE UPDATE ON "resources" FOR EACH ROW
    WHEN (NEW."version" = OLD."version" AND (
        OLD."id", OLD."environment", OLD."type", OLD."status", OLD."inquiry_id", OLD."attributes", OLD."relationships",
        OLD."event_id", OLD."event_name", OLD."event_created_at", OLD."event_rank"
    ) IS DISTINCT FROM (
        NEW."id", NEW."environment", NEW."type", NEW."status",
        CASE WHEN belongs_to_inquiry(NEW."type") THEN NEW."claim_inquiry_id" END, NEW."attributes", NEW."relationships",
        NEW."event_id", NEW."event_name", NEW."event_created_at", NEW."event_rank"
    )) EXECUTE FUNCTION announce_change('resource');

CREATE FUNCTION "latest_change_tick"() RETURNS BIGINT LANGUAGE sql STABLE AS $$
    SELECT COALESCE((SELECT max(t."tick") FROM public."change_ticks" t), 0)
$$;

CREATE FUNCTION "raise_expired_cursor"("after_tick" BIGINT, "oldest" BIGINT, "latest" BIGINT) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'PERSONA_CURSOR_EXPIRED: tick % is outside of what is kept (% to %); read all rows, then go on from the latest tick',
        "after_tick", "oldest", "latest" USING ERRCODE = 'PX001';
END $$;

-- The changes after one tick and up to the other, at most "max_rows" of them behind "after_seq", ordered by "seq".
-- A transaction that was in progress at the first tick is found by its number, however old it is: an open transaction
-- makes no scan longer. VOLATILE, so that each statement sees what is committed when it begins. Without statistics
-- PostgreSQL would read and sort a whole large tick for each part.
CREATE FUNCTION "changes_page"("after_tick" BIGINT, "up_to_tick" BIGINT, "after_seq" BIGINT, "max_rows" BIGINT)
RETURNS SETOF "changes" LANGUAGE plpgsql VOLATILE ROWS 1000
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    "oldest" BIGINT := (SELECT f."oldest_tick" FROM public."change_feed" f WHERE f."id" = 1);
    "latest" BIGINT := public.latest_change_tick();
    "seen" PG_SNAPSHOT := '1:1:';
    "upto" PG_SNAPSHOT := '1:1:';
    "seen_seq" BIGINT := 0;
    "upto_seq" BIGINT := 0;
    "most" BIGINT;
    "transactions" NUMERIC;
BEGIN
    IF "after_tick" < "oldest" OR "after_tick" > "latest" THEN
        PERFORM public.raise_expired_cursor("after_tick", "oldest", "latest");
    END IF;
    IF "after_tick" IS NULL OR "up_to_tick" IS NULL OR "up_to_tick" > "latest" OR "up_to_tick" < "after_tick" THEN
        RAISE EXCEPTION 'expected a tick from % to % as up_to_tick, got %', "after_tick", "latest", "up_to_tick"
            USING ERRCODE = '22023';
    END IF;
    IF "after_tick" > 0 THEN
        SELECT t."snapshot", t."last_seq" INTO "seen", "seen_seq" FROM public."change_ticks" t WHERE t."tick" = "after_tick";
    END IF;
    IF "up_to_tick" > 0 THEN
        SELECT t."snapshot", t."last_seq" INTO "upto", "upto_seq" FROM public."change_ticks" t WHERE t."tick" = "up_to_tick";
    END IF;
    -- About so many changes at most are of transactions that began between the ticks, and so many transactions began.
    "most" := "upto_seq" - "seen_seq";
    "transactions" := pg_snapshot_xmax("upto")::text::numeric - pg_snapshot_xmax("seen")::text::numeric;
    -- Few transactions wrote many changes: each part is read transaction by transaction, so that each costs the same.
    IF "most" > 4 * "max_rows" AND 80 * "transactions" < "most" THEN
        RETURN QUERY
        WITH RECURSIVE "begun" AS (
            -- The number before the first one that the tick had not seen begin; numbers have no arithmetic of their own.
            SELECT (pg_snapshot_xmax("seen")::text::numeric - 1)::text::xid8 AS "xid"
            UNION ALL
            SELECT "next"."xid" FROM "begun" b CROSS JOIN LATERAL (
                SELECT c."xid" FROM public."changes" c WHERE c."xid" > b."xid" AND c."xid" < pg_snapshot_xmax("upto")
                ORDER BY c."xid" LIMIT 1
            ) AS "next"
        ), "writers" AS (
            SELECT b."xid" FROM "begun" b
            WHERE b."xid" >= pg_snapshot_xmax("seen") AND pg_visible_in_snapshot(b."xid", "upto")
            UNION ALL
            SELECT x FROM pg_snapshot_xip("seen") x WHERE pg_visible_in_snapshot(x, "upto")
        )
        SELECT "page".* FROM "writers" w CROSS JOIN LATERAL (
            SELECT c.* FROM public."changes" c WHERE c."xid" = w."xid" AND c."seq" > "after_seq"
            ORDER BY c."seq" LIMIT "max_rows"
        ) AS "page" ORDER BY "page"."seq" LIMIT "max_rows";
    ELSE
        -- Ranges between the transactions that were in progress at the later tick, however many changes these wrote.
        RETURN QUERY
        WITH "gaps" AS (
            SELECT b."xid" AS "low", lead(b."xid", 1, pg_snapshot_xmax("upto")) OVER (ORDER BY b."xid") AS "high" FROM (
                SELECT (pg_snapshot_xmax("seen")::text::numeric - 1)::text::xid8
                UNION ALL
                SELECT x FROM pg_snapshot_xip("upto") x WHERE x >= pg_snapshot_xmax("seen")
            ) AS b("xid")
        ), "found" AS (
            SELECT c.* FROM "gaps" g CROSS JOIN LATERAL (
                SELECT * FROM public."changes" c
                WHERE c."xid" > g."low" AND c."xid" < g."high" AND c."seq" > "after_seq"
            ) AS c
            UNION ALL
            SELECT "page".* FROM pg_snapshot_xip("seen") x CROSS JOIN LATERAL (
                SELECT * FROM public."changes" c WHERE c."xid" = x AND c."seq" > "after_seq"
                ORDER BY c."seq" LIMIT "max_rows"
            ) AS "page" WHERE pg_visible_in_snapshot(x, "upto")
        )
        SELECT * FROM "found" f ORDER BY f."seq" LIMIT "max_rows";
    END IF;
    -- TRUNCATE empties a partition for older snapshots too, and it commits together with "oldest_tick".
    "oldest" := (SELECT f."oldest_tick" FROM public."change_feed" f WHERE f."id" = 1);
    IF "after_tick" < "oldest" THEN
        PERFORM public.raise_expired_cursor("after_tick", "oldest", public.latest_change_tick());
    END IF;
    -- A snapshot of a whole transaction can't see the new "oldest_tick", but an emptied partition has another file.
    IF current_setting('transaction_isolation') <> 'read committed' AND EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c."oid" = i."inhrelid"
        WHERE i."inhparent" = 'public.changes'::regclass AND c."relfilenode" <> pg_relation_filenode(c."oid")
    ) THEN
        RAISE EXCEPTION 'changes were dropped since this transaction began' USING ERRCODE = '40001';
    END IF;
    IF "seen" IS NULL OR "upto" IS NULL THEN
        RAISE EXCEPTION 'expected ticks that exist, got % and %', "after_tick", "up_to_tick" USING ERRCODE = '22023';
    END IF;
END $$;

CREATE FUNCTION "changes_between"("after_tick" BIGINT, "up_to_tick" BIGINT)
RETURNS SETOF "changes" LANGUAGE sql VOLATILE ROWS 1000 AS $$
    SELECT * FROM public.changes_page("after_tick", "up_to_tick", 0, NULL)
$$;

-- The functions below rely on a snapshot for each statement: one that is taken before a lock misses changes.
CREATE FUNCTION "expect_read_committed"() RETURNS VOID LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'ticks are made and changes dropped in READ COMMITTED transactions only' USING ERRCODE = 'PI002';
    END IF;
END $$;

-- Makes a tick where a change became visible since the last one, and notifies readers. "outcome": 'ticked'; 'nothing' to
-- announce; 'early': the last tick is younger than 50 ms; 'busy': another session is at it. After a restore or a promotion
-- older ticks are forgotten, since they may name snapshots of another history. Numbers of transactions of another server
-- mean nothing here, so that its changes go too.
CREATE FUNCTION "make_change_tick"(OUT "outcome" TEXT, OUT "tick" BIGINT)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    "feed" RECORD;
    "last" RECORD;
    "lineage" RECORD;
    "seen" PG_SNAPSHOT := '1:1:';
    "is_other" BOOLEAN;
BEGIN
    PERFORM expect_read_committed();
    IF NOT pg_try_advisory_xact_lock(723114603) THEN
        "outcome" := 'busy';
        RETURN;
    END IF;
    SELECT * INTO STRICT "feed" FROM "change_feed" f WHERE f."id" = 1;
    SELECT * INTO "last" FROM "change_ticks" t ORDER BY t."tick" DESC LIMIT 1;
    SELECT * INTO STRICT "lineage" FROM database_lineage();
    IF "last"."tick" IS NOT NULL THEN
        "seen" := "last"."snapshot";
    END IF;
    "is_other" := ("feed"."system_identifier", "feed"."timeline", "feed"."changes_oid") IS DISTINCT FROM
        ("lineage"."system_identifier", "lineage"."timeline", 'public.changes'::regclass::oid);
    IF "is_other" THEN
        IF "feed"."system_identifier" IS DISTINCT FROM "lineage"."system_identifier" THEN
            -- Writers wait behind this lock: a session that reads for long must not stop them.
            PERFORM set_config('lock_timeout', '2s', true);
            TRUNCATE "changes";
        END IF;
        "tick" := COALESCE("last"."tick", 0) + 1000000;
        DELETE FROM "change_ticks";
        UPDATE "change_feed" SET "oldest_tick" = make_change_tick."tick",
            "system_identifier" = "lineage"."system_identifier", "timeline" = "lineage"."timeline",
            "changes_oid" = 'public.changes'::regclass;
    ELSIF clock_timestamp() - "last"."at" BETWEEN interval '0' AND interval '50 milliseconds' THEN
        "outcome" := 'early';
        RETURN;
    ELSIF NOT EXISTS (SELECT FROM "changes" c WHERE c."xid" >= pg_snapshot_xmax("seen"))
        AND NOT EXISTS (SELECT FROM pg_snapshot_xip("seen") x JOIN "changes" c ON c."xid" = x) THEN
        "outcome" := 'nothing';
        RETURN;
    ELSE
        "tick" := COALESCE("last"."tick", 0) + 1;
    END IF;
    INSERT INTO "change_ticks" ("tick", "at", "snapshot", "last_seq", "system_identifier", "timeline")
    SELECT make_change_tick."tick", clock_timestamp(), pg_current_snapshot(), s."last_value",
        "lineage"."system_identifier", "lineage"."timeline" FROM "changes_seq_seq" s;
    PERFORM pg_notify('persona_changes', make_change_tick."tick"::text);
    "outcome" := 'ticked';
END $$;

-- Drops changes whose tick was made before a time, with these ticks. Partitions are emptied whole; of a partition that also
-- holds newer changes a small rest is deleted. A lock that is not free soon is tried again at the next call. Gives whether
-- more ticks are left to drop, and how many partitions were emptied.
CREATE FUNCTION "drop_changes"("before" TIMESTAMPTZ, "slot_time" INTERVAL, OUT "is_finished" BOOLEAN, OUT "emptied" INTEGER)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    "max_rows" CONSTANT INTEGER := 20000;
    "feed" RECORD;
    "base" RECORD;
    "gone" INTEGER;
    "old_slot" SMALLINT;
    "next_slot" SMALLINT;
    "is_there" BOOLEAN;
BEGIN
    PERFORM expect_read_committed();
    "is_finished" := true;
    "emptied" := 0;
    SELECT * INTO STRICT "feed" FROM "change_feed" f WHERE f."id" = 1 FOR UPDATE;
    "next_slot" := ("feed"."slot" + 1) % 8;
    EXECUTE format('SELECT EXISTS (SELECT FROM "changes_%s")', "next_slot") INTO "is_there";
    -- The newest tick before the time: changes that it sees are dropped, and cursors go on from it. Times in the future were
    -- given by a clock that ran ahead; they must not stop this.
    SELECT * INTO "base" FROM "change_ticks" t WHERE t."tick" < COALESCE(
        (SELECT k."tick" FROM "change_ticks" k WHERE k."at" >= "before" AND k."at" <= clock_timestamp() + interval '1 minute'
            ORDER BY k."tick" LIMIT 1), 9223372036854775807
    ) ORDER BY t."tick" DESC LIMIT 1;
    IF NOT "is_there" AND ("feed"."slot_since" < clock_timestamp() - "slot_time"
        OR "feed"."slot_since" > clock_timestamp() + interval '1 minute'
        OR "feed"."slot_since" < "before" AND "base"."tick" > "feed"."oldest_tick") THEN
        UPDATE "change_feed" SET "slot" = "next_slot", "slot_since" = clock_timestamp();
        "feed"."slot" := "next_slot";
    END IF;
    IF "base"."tick" IS NULL THEN RETURN; END IF;
    UPDATE "change_feed" f SET "oldest_tick" = "base"."tick" WHERE f."oldest_tick" < "base"."tick";
    DELETE FROM "change_ticks" t WHERE t."tick" IN (
        SELECT k."tick" FROM "change_ticks" k WHERE k."tick" < "base"."tick" ORDER BY k."tick" LIMIT "max_rows");
    GET DIAGNOSTICS "gone" = ROW_COUNT;
    "is_finished" := "gone" < "max_rows";
    FOR "old_slot" IN SELECT s FROM generate_series(0, 7) s WHERE s <> "feed"."slot" LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM "changes_%s")', "old_slot") INTO "is_there";
        CONTINUE WHEN NOT "is_there";
        EXECUTE format('SELECT EXISTS (SELECT FROM "changes_%s" c WHERE c."xid" >= pg_snapshot_xmin($1)
            AND NOT pg_visible_in_snapshot(c."xid", $1))', "old_slot") INTO "is_there" USING "base"."snapshot";
        CONTINUE WHEN "is_there";
        BEGIN
            EXECUTE format('LOCK TABLE "changes_%s" IN ACCESS EXCLUSIVE MODE', "old_slot");
            EXECUTE format('SELECT EXISTS (SELECT FROM "changes_%s" c WHERE c."xid" >= pg_snapshot_xmin($1)
                AND NOT pg_visible_in_snapshot(c."xid", $1))', "old_slot") INTO "is_there" USING "base"."snapshot";
            IF NOT "is_there" THEN
                EXECUTE format('TRUNCATE "changes_%s"', "old_slot");
                "emptied" := "emptied" + 1;
            END IF;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    SELECT count(*) INTO "gone" FROM (
        SELECT FROM "changes" c WHERE c."xid" < pg_snapshot_xmin("base"."snapshot") LIMIT "max_rows" + 1) AS "rest";
    IF "gone" BETWEEN 1 AND "max_rows" THEN
        DELETE FROM "changes" c WHERE c."xid" < pg_snapshot_xmin("base"."snapshot");
    END IF;
END $$;

-- These run with the rights of the tables' owner. deploy/postgres/roles.sql grants them to writers. A trigger of a table
-- runs without the grant; without it nobody makes a trigger of a table of their own.
REVOKE EXECUTE ON FUNCTION "announce_change"() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION "publish_change"() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION "begin_removal"() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION "make_change_tick"() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION "drop_changes"(TIMESTAMPTZ, INTERVAL) FROM PUBLIC;
