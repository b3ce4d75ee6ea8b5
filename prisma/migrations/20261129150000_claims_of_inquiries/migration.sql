-- An object can be told as a verification, claimed by an inquiry, then as an inquiry, then as a verification again. Its
-- claim stays meanwhile, as in the other tables. Without a default: no row is written anew, and older workers go on.
ALTER TABLE "inquiries"
    ADD COLUMN "claim_inquiry_id" TEXT COLLATE "C",
    ADD COLUMN "claim_event_id" TEXT COLLATE "C",
    ADD COLUMN "claim_created_at" TIMESTAMPTZ(3),
    ADD COLUMN "claim_rank" SMALLINT,
    ADD COLUMN "claim_strength" SMALLINT;
