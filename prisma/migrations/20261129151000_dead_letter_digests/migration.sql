-- Dead letters: states on which concurrent transactions agree, and keyed digests of bodies.

-- A dead letter and its event may be written by two transactions at the same time. Neither sees the other's row, so both
-- take a lock for the event id: the writer of the letter alone, the writers of events together. Sixteen locks are enough,
-- since letters are rare; one lock for each event would fill the lock table of PostgreSQL.
CREATE FUNCTION "lock_dead_letter"("id" TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(723114604, hashtext("id") & 15);
END $$;

-- Called after the events were inserted. Each statement in here has a snapshot of its own, which is newer than the lock.
CREATE FUNCTION "resolve_dead_letters"("stored_ids" TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(723114604, "locks"."lock")
    FROM (SELECT DISTINCT hashtext("ids"."id") & 15 AS "lock" FROM unnest("stored_ids") AS "ids"("id") ORDER BY 1) AS "locks";
    UPDATE public."dead_letters" SET "state" = 'replayed', "resolved_at" = clock_timestamp()
    WHERE "event_id" = ANY("stored_ids") AND "state" <> 'replayed';
END $$;

-- For transactions that read under the lock: nothing that they read is outdated by a write that runs alone.
CREATE FUNCTION "share_writes"() RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'dead letters are stored in READ COMMITTED transactions only' USING ERRCODE = 'PI002';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(723114601);
END $$;

-- The key of digests where STORAGE_ENCRYPTION_KEYS is not set. Random for each installation.
ALTER TABLE "ingest_state" ADD COLUMN "digest_key" BYTEA NOT NULL
    DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
ALTER TABLE "ingest_state" ALTER COLUMN "digest_key" DROP DEFAULT;

-- "body_sha256" is now a random name, which an encrypted body is bound to; older workers write and read it as before.
-- "body_digest": the keyed digest of the body as received; null after an erasure has reduced the body.
-- "digest_key_id": the key of STORAGE_ENCRYPTION_KEYS; null for "ingest_state"."digest_key".
-- "digest_of": the "body_sha256" that the digest was written with. Where the two differ, an older worker wrote the row.
ALTER TABLE "dead_letters"
    ADD COLUMN "body_digest" BYTEA,
    ADD COLUMN "digest_key_id" TEXT COLLATE "C",
    ADD COLUMN "digest_of" BYTEA;
-- As for the other columns about bodies: the planner's statistics hold no copy. A new type drops what was gathered so far.
ALTER TABLE "dead_letters"
    ALTER COLUMN "body_sha256" TYPE BYTEA, ALTER COLUMN "body_sha256" SET STATISTICS 0,
    ALTER COLUMN "body_digest" SET STATISTICS 0,
    ALTER COLUMN "digest_of" SET STATISTICS 0;
CREATE UNIQUE INDEX "dead_letters_body_digest_key" ON "dead_letters" ("body_digest") WHERE "event_id" IS NULL;
-- The rows that still wait for a keyed digest: workers look for them now and then.
CREATE INDEX "dead_letters_older_idx" ON "dead_letters" ("id") WHERE "digest_of" IS DISTINCT FROM "body_sha256";

-- An older worker reduces a body and leaves the columns that it does not know.
CREATE FUNCTION "forget_body_digest"() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    NEW."body_digest" := NULL;
    NEW."digest_key_id" := NULL;
    NEW."digest_of" := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER "dead_letters_forget_body_digest" BEFORE UPDATE OF "body" ON "dead_letters" FOR EACH ROW
WHEN (NEW."body" IS DISTINCT FROM OLD."body" AND NEW."digest_of" IS NOT DISTINCT FROM OLD."digest_of")
EXECUTE FUNCTION "forget_body_digest"();
