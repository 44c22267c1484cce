-- The secret of the addresses at which the service calls back: 32 random bytes, written
-- by the program in the same transaction.
ALTER TABLE job ADD COLUMN callback_secret BLOB;

PRAGMA user_version = 2;
