-- The secret of the addresses at which the service calls back: 32 random bytes, written
-- by the program in the same transaction.
ALTER TABLE job ADD COLUMN callback_secret BLOB;

-- Until when the service asked for no submit and no poll, in milliseconds since 1970.
ALTER TABLE job ADD COLUMN submit_paused_until INTEGER;
ALTER TABLE job ADD COLUMN poll_paused_until INTEGER;

PRAGMA user_version = 2;
