-- Erasures by our own word (`ops erase`): what was asked for, and what was taken. Each is a redaction told by us:
-- "redactions"."event_id" and "objects"."erased_event_id" name it where no event of the provider told a newer one.
CREATE TABLE "erasures" (
    "id" TEXT COLLATE "C" NOT NULL,
    -- The object asked for; null where only dead letters were found, which name none.
    "object_id" TEXT COLLATE "C",
    "reason" TEXT,
    "erased_at" TIMESTAMPTZ(3) NOT NULL,
    -- How many and which rows, events and dead letters it took something from: counts and ids only.
    "report" JSONB NOT NULL,
    CONSTRAINT "erasures_pkey" PRIMARY KEY ("id")
);

-- ANALYZE copies values into the planner's statistics, where they outlive their erasure until it runs again. None of
-- these columns is worth a plan; an index on one is found all the same. Setting a column's type, though it is the same,
-- drops what was gathered so far, and touches no row.
ALTER TABLE "events"
    ALTER COLUMN "payload" TYPE JSONB, ALTER COLUMN "payload" SET STATISTICS 0,
    ALTER COLUMN "original_body" TYPE BYTEA, ALTER COLUMN "original_body" SET STATISTICS 0;
ALTER TABLE "inquiries"
    ALTER COLUMN "reference_id" TYPE TEXT, ALTER COLUMN "reference_id" SET STATISTICS 0,
    ALTER COLUMN "tags" TYPE TEXT[], ALTER COLUMN "tags" SET STATISTICS 0,
    ALTER COLUMN "attributes" TYPE JSONB, ALTER COLUMN "attributes" SET STATISTICS 0,
    ALTER COLUMN "fields" TYPE JSONB, ALTER COLUMN "fields" SET STATISTICS 0,
    ALTER COLUMN "relationships" TYPE JSONB, ALTER COLUMN "relationships" SET STATISTICS 0;
ALTER TABLE "verifications"
    ALTER COLUMN "country_code" TYPE TEXT, ALTER COLUMN "country_code" SET STATISTICS 0,
    ALTER COLUMN "checks" TYPE JSONB, ALTER COLUMN "checks" SET STATISTICS 0,
    ALTER COLUMN "attributes" TYPE JSONB, ALTER COLUMN "attributes" SET STATISTICS 0,
    ALTER COLUMN "relationships" TYPE JSONB, ALTER COLUMN "relationships" SET STATISTICS 0;
ALTER TABLE "resources"
    ALTER COLUMN "attributes" TYPE JSONB, ALTER COLUMN "attributes" SET STATISTICS 0,
    ALTER COLUMN "relationships" TYPE JSONB, ALTER COLUMN "relationships" SET STATISTICS 0;
ALTER TABLE "dead_letters"
    ALTER COLUMN "body" TYPE BYTEA, ALTER COLUMN "body" SET STATISTICS 0,
    -- Of bytes that are no event, whatever they call an id.
    ALTER COLUMN "object_ids" SET STATISTICS 0;
