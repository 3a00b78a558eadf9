-- Records the drafts of one delivery: all of them, or none.
--
-- KEYS: owed, log, then three for each draft: its signal, the mark that decides, the mark of the
--       unsigned id beside it (where there is none, the deciding mark again).
-- ARGV: lease ms, retention ms, then eight for each draft: signalid (16 bytes), what decides ('id',
--       'content', or 'either'),
--       the id mark beside the content (16 bytes or none), how long to keep marks in ms, and the
--       envelope's head, id, completed id and tail.
-- Answers one string for each draft: 'new', 'conflict' (new under its completed id),
--       'duplicate' or 'replayed'; the last two followed by the 16 bytes of the first signalid.

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
local pending = {}

local function first_of(mark)
  return pending[mark] or redis.call('GET', mark)
end

local answers, fresh, retries = {}, {}, {}
for draft = 1, (#KEYS - 2) / 3 do
  local k, a = 3 * draft, 8 * draft - 6
  local signal, deciding, beside = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local signalid, by_content, id_mark = ARGV[a + 1], ARGV[a + 2] ~= 'id', ARGV[a + 3]
  local either = ARGV[a + 2] == 'either'

  -- A mark holds the signalid; that of content is followed by the id mark that came with it.
  local first = first_of(deciding)
  if first and by_content and string.sub(first, 17) ~= id_mark then
    answers[draft] = 'replayed' .. string.sub(first, 1, 16)
  elseif first then
    answers[draft] = 'duplicate' .. string.sub(first, 1, 16)
  elseif either and first_of(beside) then
    -- The vendor's retry with other content; a captured copy of it must not come under another id.
    local original = string.sub(first_of(beside), 1, 16)
    pending[deciding] = original .. id_mark
    retries[#retries + 1] = { mark = deciding, value = original .. id_mark, keep = ARGV[a + 4] }
    answers[draft] = 'duplicate' .. original
  elseif pending[signal] or redis.call('EXISTS', signal) == 1 then
    -- Its marks are gone, the signal is not: a signal never changes and never comes twice.
    answers[draft] = 'duplicate' .. signalid
  else
    local id_given = by_content and id_mark ~= ''
    local conflict = id_given and first_of(beside)
    local new = { signal = signal, deciding = deciding, keep = ARGV[a + 4] }
    new.value = by_content and signalid .. id_mark or signalid
    new.envelope = ARGV[a + 5] .. (conflict and ARGV[a + 7] or ARGV[a + 6]) .. ARGV[a + 8]
    pending[signal], pending[deciding] = signalid, new.value
    if id_given and not conflict then
      new.beside, new.signalid = beside, signalid
      pending[beside] = signalid
    end
    fresh[#fresh + 1] = new
    answers[draft] = conflict and 'conflict' or 'new'
  end
end

-- In this order a beginning of it, should one ever be all there is, does no harm: a duty without a
-- signal is dropped when it is leased, a signal without marks still refuses its repeats.
for _, new in ipairs(fresh) do
  local signalid = string.sub(new.signal, -36)
  redis.call('XADD', log, 'MINID', '~', log_start, '*', 'signalid', signalid)
  redis.call('ZADD', owed, lease_end, signalid)
  redis.call('HSET', new.signal, 'envelope', new.envelope)
  redis.call('SET', new.deciding, new.value, 'PX', new.keep)
  if new.beside then
    redis.call('SET', new.beside, new.signalid, 'PX', new.keep)
  end
end
for _, retry in ipairs(retries) do
  redis.call('SET', retry.mark, retry.value, 'PX', retry.keep)
end
return answers
