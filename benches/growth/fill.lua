-- Puts marks into buckets. ARGV: how many, the first one's number, shards, end of their time (4 bytes),
-- and the tag of the shard to use if there is but one.
local spread = tonumber(ARGV[3])
local buckets, fields = {}, {}
for n = ARGV[2] + 0, ARGV[2] + ARGV[1] - 1 do
  local digest = redis.sha1hex(n)
  local bucket = math.floor(tonumber(string.sub(digest, 1, 4), 16) / 4)
  local field = struct.pack('>I4I4I4I2B',
    tonumber(string.sub(digest, 3, 10), 16), tonumber(string.sub(digest, 11, 18), 16),
    tonumber(string.sub(digest, 19, 26), 16), tonumber(string.sub(digest, 27, 30), 16), n % 251)
  local tag = spread == 1 and ARGV[5] or string.format('{hookgate:1:%d}', n % spread)
  local key = string.format('%s:m:%04x', tag, bucket)
  if redis.call('HSET', key, field, ARGV[4]) == 1 and redis.call('PTTL', key) < 0 then
    redis.call('PEXPIRE', key, 680400000)
  end
end
