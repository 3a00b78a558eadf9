-- Ends the leases of signals that are still owed.
--
-- KEYS: owed, parked, reasons, then the signals.

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for k = 4, #KEYS do
  local signalid = string.sub(KEYS[k], -36)
  if redis.call('ZREM', KEYS[1], signalid) == 1 then
    redis.call('ZADD', KEYS[1], now, signalid)
  end
end
