-- Discharges the duty to publish.
--
-- KEYS: owed, parked, then the signals. ARGV: retention ms.

for k = 3, #KEYS do
  local signalid = string.sub(KEYS[k], -36)
  local duty = redis.call('ZREM', KEYS[1], signalid) + redis.call('ZREM', KEYS[2], signalid)
  -- Only once, so that a repeat does not lengthen the signal's life.
  if duty > 0 then
    redis.call('HDEL', KEYS[k], 'reason')
    redis.call('PEXPIRE', KEYS[k], ARGV[1])
  end
end
