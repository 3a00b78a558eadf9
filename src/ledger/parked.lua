-- Parks signals that are still owed: kept without end, and no longer owed.
--
-- KEYS: owed, parked, reasons, then the signals. ARGV: reason.

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for k = 4, #KEYS do
  local signalid = string.sub(KEYS[k], -36)
  if redis.call('ZREM', KEYS[1], signalid) == 1 then
    redis.call('ZADD', KEYS[2], now, signalid)
    redis.call('HSET', KEYS[3], signalid, ARGV[1])
  end
end
