-- Records the drafts of one delivery: all of them, or none.
--
-- KEYS: owed, log, then three for each draft: its signal, the bucket of the mark that decides, and that
--       of the mark of the unsigned id beside it (where there is none, the deciding one's again).
-- ARGV: lease ms, retention ms, then nine for each draft: what decides ('id', 'content' or 'either'),
--       the deciding mark's field and what it is to remember, the field of the mark beside it or nothing,
--       how long to keep marks in ms, and the envelope's head, id, completed id and tail.
-- Answers one string for each draft: 'new', 'conflict' (new under its completed id), 'duplicate' or
--       'replayed'; the last two followed by the first signalid where that is not the draft's own.
--
-- A mark is a field of its bucket: the end of its time (4 bytes, seconds), then what it remembers, as
-- src/ledger/memo.rs says: nothing, or a tag of 4 bytes, or a tag and a signalid.

local owed, log = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_end = string.format('%.0f', now + ARGV[1])
local log_start = string.format('%.0f', math.max(now - ARGV[2], 0))

-- Everything that can fail comes before the first write. Redis refuses a full memory, a failing disk
-- or missing replicas at a script's first write and never after it; what is left are keys that
-- something else has taken, and reading them finds out.
redis.call('ZCARD', owed)
redis.call('XLEN', log)

-- What this call is about to write counts for its later drafts.
local pending, marks = {}, {}

-- Returns what a mark remembers, or nil where it is not known or its time is over.
local function memo_of(bucket, field)
  local written = pending[bucket .. field]
  if written then
    return written
  end
  local mark = redis.call('HGET', bucket, field)
  if mark and struct.unpack('>I4', mark) * 1000 > now then
    return string.sub(mark, 5)
  end
end

local function remember(bucket, field, memo, keep)
  pending[bucket .. field] = memo
  marks[#marks + 1] = { bucket = bucket, field = field, memo = memo, keep = tonumber(keep) }
end

local answers, fresh = {}, {}
for draft = 1, (#KEYS - 2) / 3 do
  local k, a = 3 * draft, 9 * draft - 7
  local signal, bucket, beside_bucket = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local kind, field, memo = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local beside, keep = ARGV[a + 4], ARGV[a + 5]

  local known = memo_of(bucket, field)
  local id_known = not known and beside ~= '' and memo_of(beside_bucket, beside)
  if known then
    local same_id = kind == 'id' or string.sub(known, 1, 4) == string.sub(memo, 1, 4)
    answers[draft] = (same_id and 'duplicate' or 'replayed') .. string.sub(known, 5)
  elseif kind == 'either' and id_known then
    -- The vendor's retry with other content; a captured copy of it must not come under another id.
    remember(bucket, field, memo, keep)
    answers[draft] = 'duplicate'
  elseif pending[signal] or redis.call('EXISTS', signal) == 1 then
    -- Its marks are gone, the signal is not: a signal never changes and never comes twice.
    answers[draft] = 'duplicate'
  else
    local id = id_known and ARGV[a + 8] or ARGV[a + 7]
    fresh[#fresh + 1] = { key = signal, envelope = ARGV[a + 6] .. id .. ARGV[a + 9] }
    pending[signal] = true
    remember(bucket, field, memo, keep)
    if beside ~= '' and not id_known then
      remember(beside_bucket, beside, '', keep)
    end
    answers[draft] = id_known and 'conflict' or 'new'
  end
end

-- In this order a beginning of it, should one ever be all there is, does no harm: a duty without a
-- signal is dropped when it is leased, a signal without marks still refuses its repeats.
for _, signal in ipairs(fresh) do
  local signalid = string.sub(signal.key, -36)
  redis.call('XADD', log, 'MINID', '~', log_start, '*', 'signalid', signalid)
  redis.call('ZADD', owed, lease_end, signalid)
  redis.call('SET', signal.key, signal.envelope)
end
for _, mark in ipairs(marks) do
  local mark_end = math.min(math.ceil((now + mark.keep) / 1000), 4294967295)
  redis.call('HSET', mark.bucket, mark.field, struct.pack('>I4', mark_end) .. mark.memo)
  -- A bucket lives as long as its last mark; an eighth longer, so that not every mark renews it.
  if redis.call('PTTL', mark.bucket) < mark.keep + 1000 then
    redis.call('PEXPIRE', mark.bucket, string.format('%.0f', mark.keep * 1.125 + 1000))
  end
end
return answers
