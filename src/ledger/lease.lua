-- Leases signals whose lease has run out, or takes parked ones that were not tried for a while.
--
-- KEYS: owed, or parked and reasons (no key too many: while a slot moves, one that is missing would stand
--       in the way). ARGV: limit, the last moment that is due in ms (0 for now), the moment that
--       a signal gets in ms from now, how far ahead a moment can be in ms, most bytes, and the beginning
--       of signals' keys (they share the hash tag of KEYS[1]).
-- Answers two lists: signalid and envelope by turns; and the signalids whose signal is gone.

local signals = KEYS[1]
local limit, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = ARGV[2] == '0' and string.format('%.0f', now) or ARGV[2]
local next_moment = string.format('%.0f', now + ARGV[3])
local too_late = string.format('(%.0f', now + ARGV[4])

-- ZREM first, because a full Redis refuses a ZADD that is a script's first write; and it is
-- publishing that makes room again.
local function set(signalid, moment)
  redis.call('ZREM', signals, signalid)
  redis.call('ZADD', signals, moment, signalid)
end

-- A compressed envelope counts as what it becomes.
local function size_of(envelope)
  if string.byte(envelope) == 1 and #envelope > 5 then
    return #envelope + struct.unpack('<I4', string.sub(envelope, 2, 5))
  end
  return #envelope
end

-- Moments that no gateway can have set: the clock was wrong.
for _, signalid in ipairs(redis.call('ZRANGEBYSCORE', signals, too_late, '+inf', 'LIMIT', 0, limit)) do
  set(signalid, due)
end

local taken, lost, bytes = {}, {}, 0
for _, signalid in ipairs(redis.call('ZRANGEBYSCORE', signals, '-inf', due, 'LIMIT', 0, limit)) do
  local envelope = redis.call('GET', ARGV[6] .. signalid)
  if not envelope then
    redis.call('ZREM', signals, signalid)
    if KEYS[2] then
      redis.call('HDEL', KEYS[2], signalid)
    end
    lost[#lost + 1] = signalid
  else
    bytes = bytes + size_of(envelope)
    if #taken > 0 and bytes > most_bytes then
      break
    end
    set(signalid, next_moment)
    taken[#taken + 1] = signalid
    taken[#taken + 1] = envelope
  end
end
return { taken, lost }
