-- Counts and sums of the job as a whole, as JSON, changed in the same transactions as what
-- they count. NULL in a ledger of an earlier version, until its next session counts anew.
ALTER TABLE job ADD COLUMN totals TEXT;

PRAGMA user_version = 4;
