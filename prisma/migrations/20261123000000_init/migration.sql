-- The event log, its projections, and what erasure needs to find every copy of an object.
-- Ids compare byte by byte, as the total order of events does: COLLATE "C" on every id column, so that they also join.

-- Every usable event, once. The primary key is the authority for "seen before".
CREATE TABLE "events" (
    "id" TEXT COLLATE "C" NOT NULL,
    "environment" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "rank" SMALLINT NOT NULL,
    "resource_type" TEXT NOT NULL,
    "resource_id" TEXT COLLATE "C" NOT NULL,
    "inquiry_id" TEXT COLLATE "C",
    "status" TEXT,
    "payload" JSONB NOT NULL,
    "original_body" BYTEA,
    "received_at" TIMESTAMPTZ(3) NOT NULL,
    "processed_at" TIMESTAMPTZ(3) NOT NULL,
    "outcome" TEXT NOT NULL,
    CONSTRAINT "events_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "events_outcome_check" CHECK ("outcome" IN ('applied', 'stale')),
    CONSTRAINT "events_environment_check" CHECK ("environment" IN ('production', 'sandbox'))
);
CREATE INDEX "events_resource_id_idx" ON "events" ("resource_id");
CREATE INDEX "events_inquiry_id_idx" ON "events" ("inquiry_id");
-- Events arrive about in the order of their receipt: a block range index costs next to nothing per write.
CREATE INDEX "events_received_at_idx" ON "events" USING BRIN ("received_at");

-- Projections. `event_*`: the clock of the snapshot a row holds (null: known by reference only); `status_*`: the clock
-- of its status; `claim_*`: of the word on its inquiry; `reference_*`: of the reference a row without snapshot is known by.
CREATE TABLE "inquiries" (
    "id" TEXT COLLATE "C" NOT NULL,
    "environment" TEXT NOT NULL,
    "status" TEXT,
    "reference_id" TEXT,
    "account_id" TEXT COLLATE "C",
    "template_id" TEXT COLLATE "C",
    "template_version_id" TEXT COLLATE "C",
    "tags" TEXT[] NOT NULL,
    "created_at" TIMESTAMPTZ(3),
    "updated_at" TIMESTAMPTZ(3),
    "started_at" TIMESTAMPTZ(3),
    "completed_at" TIMESTAMPTZ(3),
    "failed_at" TIMESTAMPTZ(3),
    "marked_for_review_at" TIMESTAMPTZ(3),
    "decisioned_at" TIMESTAMPTZ(3),
    "expired_at" TIMESTAMPTZ(3),
    "redacted_at" TIMESTAMPTZ(3),
    "attributes" JSONB NOT NULL,
    "fields" JSONB NOT NULL,
    "relationships" JSONB NOT NULL,
    "event_id" TEXT COLLATE "C",
    "event_name" TEXT,
    "event_created_at" TIMESTAMPTZ(3),
    "event_rank" SMALLINT,
    "status_event_id" TEXT COLLATE "C",
    "status_created_at" TIMESTAMPTZ(3),
    "status_rank" SMALLINT,
    "reference_event_id" TEXT COLLATE "C",
    "reference_created_at" TIMESTAMPTZ(3),
    "reference_rank" SMALLINT,
    CONSTRAINT "inquiries_pkey" PRIMARY KEY ("id")
) WITH (fillfactor = 80); -- room for updates in place
CREATE INDEX "inquiries_account_id_idx" ON "inquiries" ("account_id");
-- A reference id is free text: a B-tree refuses entries above 2,704 bytes, which would make an odd event poison.
CREATE INDEX "inquiries_reference_id_idx" ON "inquiries" USING HASH ("reference_id");

CREATE TABLE "verifications" (
    "id" TEXT COLLATE "C" NOT NULL,
    "environment" TEXT NOT NULL,
    "inquiry_id" TEXT COLLATE "C",
    "type" TEXT,
    "status" TEXT,
    "country_code" TEXT,
    "created_at" TIMESTAMPTZ(3),
    "submitted_at" TIMESTAMPTZ(3),
    "completed_at" TIMESTAMPTZ(3),
    "redacted_at" TIMESTAMPTZ(3),
    "checks" JSONB NOT NULL,
    "attributes" JSONB NOT NULL,
    "relationships" JSONB NOT NULL,
    "event_id" TEXT COLLATE "C",
    "event_name" TEXT,
    "event_created_at" TIMESTAMPTZ(3),
    "event_rank" SMALLINT,
    "status_event_id" TEXT COLLATE "C",
    "status_created_at" TIMESTAMPTZ(3),
    "status_rank" SMALLINT,
    "claim_event_id" TEXT COLLATE "C",
    "claim_created_at" TIMESTAMPTZ(3),
    "claim_rank" SMALLINT,
    "claim_strength" SMALLINT,
    "reference_event_id" TEXT COLLATE "C",
    "reference_created_at" TIMESTAMPTZ(3),
    "reference_rank" SMALLINT,
    CONSTRAINT "verifications_pkey" PRIMARY KEY ("id")
) WITH (fillfactor = 80);
CREATE INDEX "verifications_inquiry_id_idx" ON "verifications" ("inquiry_id");

CREATE TABLE "resources" (
    "id" TEXT COLLATE "C" NOT NULL,
    "environment" TEXT NOT NULL,
    "type" TEXT,
    "status" TEXT,
    -- Only some types belong to an inquiry; a claim outlives a change of type, in either direction.
    "inquiry_id" TEXT COLLATE "C" GENERATED ALWAYS AS (
        CASE WHEN split_part("type", '/', 1) IN ('verification', 'report', 'document', 'selfie')
            OR "type" IN ('inquiry-session', 'session') THEN "claim_inquiry_id" END
    ) STORED,
    "attributes" JSONB NOT NULL,
    "relationships" JSONB NOT NULL,
    "event_id" TEXT COLLATE "C",
    "event_name" TEXT,
    "event_created_at" TIMESTAMPTZ(3),
    "event_rank" SMALLINT,
    "status_event_id" TEXT COLLATE "C",
    "status_created_at" TIMESTAMPTZ(3),
    "status_rank" SMALLINT,
    "claim_inquiry_id" TEXT COLLATE "C",
    "claim_event_id" TEXT COLLATE "C",
    "claim_created_at" TIMESTAMPTZ(3),
    "claim_rank" SMALLINT,
    "claim_strength" SMALLINT,
    "reference_event_id" TEXT COLLATE "C",
    "reference_created_at" TIMESTAMPTZ(3),
    "reference_rank" SMALLINT,
    CONSTRAINT "resources_pkey" PRIMARY KEY ("id")
) WITH (fillfactor = 80);
CREATE INDEX "resources_inquiry_id_idx" ON "resources" ("inquiry_id");

-- One row per object: which projection holds it, and the newest redaction that reaches it.
CREATE TABLE "objects" (
    "id" TEXT COLLATE "C" NOT NULL,
    "family" TEXT NOT NULL,
    "erased_event_id" TEXT COLLATE "C",
    "erased_created_at" TIMESTAMPTZ(3),
    "erased_rank" SMALLINT,
    CONSTRAINT "objects_pkey" PRIMARY KEY ("id")
);

-- Every claim ever made: an object once claimed stays within reach of that inquiry's redaction.
CREATE TABLE "claims" (
    "inquiry_id" TEXT COLLATE "C" NOT NULL,
    "object_id" TEXT COLLATE "C" NOT NULL,
    CONSTRAINT "claims_pkey" PRIMARY KEY ("inquiry_id", "object_id")
);

-- From an object to the events in whose `included` it stands (`events.resource_id` is the way for `payload.data`).
CREATE TABLE "event_objects" (
    "object_id" TEXT COLLATE "C" NOT NULL,
    "event_id" TEXT COLLATE "C" NOT NULL,
    CONSTRAINT "event_objects_pkey" PRIMARY KEY ("object_id", "event_id")
);

-- The newest redaction of each redacted inquiry.
CREATE TABLE "redactions" (
    "inquiry_id" TEXT COLLATE "C" NOT NULL,
    "event_id" TEXT COLLATE "C" NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "rank" SMALLINT NOT NULL,
    CONSTRAINT "redactions_pkey" PRIMARY KEY ("inquiry_id")
);

CREATE TABLE "dead_letters" (
    "id" BIGINT GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    "event_id" TEXT COLLATE "C",
    "environment" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "error" TEXT NOT NULL,
    "body" BYTEA NOT NULL,
    "body_sha256" BYTEA NOT NULL,
    "object_ids" TEXT[] COLLATE "C" NOT NULL,
    "received_at" TIMESTAMPTZ(3) NOT NULL,
    "failed_at" TIMESTAMPTZ(3) NOT NULL,
    "attempts" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "resolved_at" TIMESTAMPTZ(3),
    CONSTRAINT "dead_letters_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "dead_letters_state_check" CHECK ("state" IN ('open', 'replayed', 'discarded'))
);
-- One row per event id, or per distinct bytes where the id is unreadable.
CREATE UNIQUE INDEX "dead_letters_event_id_key" ON "dead_letters" ("event_id");
CREATE UNIQUE INDEX "dead_letters_body_sha256_key" ON "dead_letters" ("body_sha256") WHERE "event_id" IS NULL;
CREATE INDEX "dead_letters_object_ids_idx" ON "dead_letters" USING GIN ("object_ids");

-- The epoch counts the writes that ran alone. A shared write decides on what it read before its transaction began;
-- where the epoch has moved since, a redaction or a change of family may have come between, and it must read again.
CREATE TABLE "ingest_state" (
    "id" SMALLINT NOT NULL,
    "epoch" BIGINT NOT NULL,
    "canary_at" TIMESTAMPTZ(3),
    CONSTRAINT "ingest_state_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ingest_state_single_row_check" CHECK ("id" = 1)
);
INSERT INTO "ingest_state" ("id", "epoch") VALUES (1, 0);

-- SQLSTATE PI001: the world has moved since it was read; read again and write again.
CREATE FUNCTION "begin_shared_write"("expected_epoch" BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(723114601);
    IF (SELECT "epoch" FROM "ingest_state" WHERE "id" = 1) IS DISTINCT FROM "expected_epoch" THEN
        RAISE EXCEPTION 'the ingest epoch has moved' USING ERRCODE = 'PI001';
    END IF;
END $$;

CREATE FUNCTION "begin_exclusive_write"() RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(723114601);
    UPDATE "ingest_state" SET "epoch" = "epoch" + 1 WHERE "id" = 1;
END $$;

-- For the WHERE of an upsert into "objects": false, so that nothing is written, or the end of the transaction.
CREATE FUNCTION "has_other_family"("stored" TEXT, "told" TEXT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    IF "stored" <> "told" THEN
        RAISE EXCEPTION 'an object is known in another family' USING ERRCODE = 'PI001';
    END IF;
    RETURN FALSE;
END $$;

-- An inquiry's events: its own, those that tell it, and those of its objects, also where the link was learned later.
CREATE VIEW "inquiry_timeline" AS
WITH links AS (
    SELECT "inquiry_id", "id" AS "event_id" FROM "events" WHERE "inquiry_id" IS NOT NULL
    UNION
    SELECT v."inquiry_id", e."id" FROM "verifications" v JOIN "events" e ON e."resource_id" = v."id"
    WHERE v."inquiry_id" IS NOT NULL
    UNION
    SELECT r."inquiry_id", e."id" FROM "resources" r JOIN "events" e ON e."resource_id" = r."id"
    WHERE r."inquiry_id" IS NOT NULL
)
SELECT
    links."inquiry_id",
    e."id" AS "event_id",
    e."name" AS "event_name",
    e."created_at" AS "event_created_at",
    e."received_at",
    CASE WHEN e."resource_type" = 'inquiry' AND e."resource_id" = links."inquiry_id" THEN e."status" END AS "status",
    COALESCE(e."received_at" > min(e."received_at") OVER (
        PARTITION BY links."inquiry_id"
        ORDER BY e."created_at" DESC, e."rank" DESC, e."id" DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), false) AS "out_of_order"
FROM links JOIN "events" e ON e."id" = links."event_id";
