-- Leases signals whose lease has run out.
--
-- KEYS: owed. ARGV: limit, lease ms, longest lease ms, most bytes, the beginning of signals' keys
--       (they share the hash tag of KEYS[1]).
-- Answers two lists: signalid and envelope by turns; and the signalids whose signal is gone.

local owed = KEYS[1]
local limit, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_end = string.format('%.0f', now + ARGV[2])
local too_late = string.format('(%.0f', now + ARGV[3])
now = string.format('%.0f', now)

-- ZREM first, because a full Redis refuses a ZADD that is a script's first write; and it is
-- publishing that makes room again.
local function lease_until(signalid, moment)
  redis.call('ZREM', owed, signalid)
  redis.call('ZADD', owed, moment, signalid)
end

-- Leases that no gateway can have taken: the clock was wrong.
for _, signalid in ipairs(redis.call('ZRANGEBYSCORE', owed, too_late, '+inf', 'LIMIT', 0, limit)) do
  lease_until(signalid, now)
end

local leased, lost, bytes = {}, {}, 0
for _, signalid in ipairs(redis.call('ZRANGEBYSCORE', owed, '-inf', now, 'LIMIT', 0, limit)) do
  local envelope = redis.call('HGET', ARGV[5] .. signalid, 'envelope')
  if not envelope then
    redis.call('ZREM', owed, signalid)
    lost[#lost + 1] = signalid
  else
    bytes = bytes + #envelope
    if #leased > 0 and bytes > most_bytes then
      break
    end
    lease_until(signalid, lease_end)
    leased[#leased + 1] = signalid
    leased[#leased + 1] = envelope
  end
end
return { leased, lost }
