-- The epoch must be read as committed after the lock was taken. A transaction with a snapshot of its own (REPEATABLE READ,
-- SERIALIZABLE) sees it as it was before, and would store what a redaction has reached meanwhile. Sessions set READ
-- COMMITTED; these functions refuse what was begun otherwise (SQLSTATE PI002). A rebuild writes to tables of its own, of one
-- snapshot, and may.
CREATE OR REPLACE FUNCTION "begin_shared_write"("expected_epoch" BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
        AND current_schema() IS DISTINCT FROM 'persona_rebuild' THEN
        RAISE EXCEPTION 'events are stored in READ COMMITTED transactions only' USING ERRCODE = 'PI002';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(723114601);
    IF (SELECT "epoch" FROM public."ingest_state" WHERE "id" = 1) IS DISTINCT FROM "expected_epoch" THEN
        RAISE EXCEPTION 'the ingest epoch has moved' USING ERRCODE = 'PI001';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION "begin_exclusive_write"() RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'events are stored in READ COMMITTED transactions only' USING ERRCODE = 'PI002';
    END IF;
    PERFORM pg_advisory_xact_lock(723114601);
    UPDATE public."ingest_state" SET "epoch" = "epoch" + 1 WHERE "id" = 1;
END $$;
