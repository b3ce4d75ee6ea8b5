-- When an event lost its payload to `prune`: what `payload` holds since then is its skeleton. Null: it has it still.
ALTER TABLE "events" ADD COLUMN "pruned_at" TIMESTAMPTZ(3);
-- What is still to be pruned, by age. Events that were pruned move about in the storage, which a block range index on
-- "received_at" pays for; what is looked up by a recent time finds it here.
CREATE INDEX "events_unpruned_received_at_idx" ON "events" ("received_at") WHERE "pruned_at" IS NULL;
