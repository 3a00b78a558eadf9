-- Discharges the duty to publish.
--
-- KEYS: owed, parked, reasons, then the signals. ARGV: retention ms.

for k = 4, #KEYS do
  local signalid = string.sub(KEYS[k], -36)
  local parked = redis.call('ZREM', KEYS[2], signalid)
  -- Only once, so that a repeat does not lengthen the signal's life.
  if redis.call('ZREM', KEYS[1], signalid) + parked > 0 then
    redis.call('PEXPIRE', KEYS[k], ARGV[1])
  end
  if parked == 1 then
    redis.call('HDEL', KEYS[3], signalid)
  end
end
