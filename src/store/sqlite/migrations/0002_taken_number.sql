-- The number of a call whose phone may still ring or talk: from the claim until the phone is known to be quiet.
-- It outlives `live_number`, which ends with the outcome: a CANCEL that nobody answers silences no phone.
ALTER TABLE attempts ADD COLUMN taken_number TEXT;
UPDATE attempts SET taken_number = live_number WHERE live_number IS NOT NULL;
-- One phone that may ring per number.
CREATE UNIQUE INDEX attempts_taken ON attempts (taken_number) WHERE taken_number IS NOT NULL;
