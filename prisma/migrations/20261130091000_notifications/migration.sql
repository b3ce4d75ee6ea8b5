-- What the notifier still has to tell the user's application: the newest change of each object that was not yet answered
-- with 2xx. Ids, versions and statuses only, as in "changes".
CREATE TABLE "notifications" (
    "consumer" TEXT COLLATE "C" NOT NULL,
    "object_id" TEXT COLLATE "C" NOT NULL,
    "version" BIGINT NOT NULL,
    "family" TEXT NOT NULL,
    "inquiry_id" TEXT COLLATE "C",
    "cause" TEXT NOT NULL,
    "event_id" TEXT COLLATE "C",
    "status" TEXT,
    "previous_status" TEXT,
    "changed_at" TIMESTAMPTZ(3) NOT NULL,
    -- 'pending', or 'failed': not tried again by itself.
    "state" TEXT NOT NULL DEFAULT 'pending',
    -- Failed attempts of this version.
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "first_attempt_at" TIMESTAMPTZ(3),
    "next_attempt_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- A code, and the status of the answer where there was one.
    "last_error" TEXT,
    "last_status" SMALLINT,
    -- One process at a time sends the object's changes: the one that claimed it, until then.
    "claim" TEXT,
    "claimed_until" TIMESTAMPTZ(3),
    CONSTRAINT "notifications_pkey" PRIMARY KEY ("consumer", "object_id")
);
CREATE INDEX "notifications_consumer_state_next_attempt_at_idx" ON "notifications" ("consumer", "state", "next_attempt_at");

-- One process at a time reads the feed for a consumer: the one named here, until then.
CREATE TABLE "notification_readers" (
    "consumer" TEXT COLLATE "C" NOT NULL,
    "holder" TEXT NOT NULL,
    "held_until" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "notification_readers_pkey" PRIMARY KEY ("consumer")
);
