-- The rows that somebody is sending, a few among all that wait.
CREATE INDEX outbox_leased ON outbox (leased_until) WHERE leased_until IS NOT NULL;
