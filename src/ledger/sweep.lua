-- Removes marks whose time is over from some buckets.
--
-- KEYS: buckets. ARGV: where to go on in each, 0 at first.
-- Answers where to go on in each, 0 where it was gone through. One step looks at a few hundred marks.

local now = tonumber(redis.call('TIME')[1])
local further = {}
for k, bucket in ipairs(KEYS) do
  local step = redis.call('HSCAN', bucket, ARGV[k], 'COUNT', 256)
  local marks = step[2]
  for at = 1, #marks, 2 do
    if struct.unpack('>I4', marks[at + 1]) <= now then
      redis.call('HDEL', bucket, marks[at])
    end
  end
  further[k] = step[1]
end
return further
