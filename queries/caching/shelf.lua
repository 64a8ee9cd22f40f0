-- A tenant's shelf of cached answers: puts one there, in the room that the tenant has, and clears what is over. The
-- answers themselves end by their own time to live; what is known of them here is kept exact by this script alone.
--
-- KEYS: when each answer was last used, when each ends, how many bytes each has (and `total`), the tenant's counters,
--       the copy of its corpus version, the lease of the flight that got the answer, the place of its outcome.
-- ARGV: what the names of its answers begin with, the version that counts, the room in bytes, and to put an answer:
--       its entry (the rest of its name), the answer, milliseconds to live, the lease's token ('' = none),
--       milliseconds that an outcome is left for who waits.
-- Returns how many entries were taken out; at MOST there may be more.

redis.replicate_commands() -- Redis before 7 asks for it, because TIME differs from run to run

local MOST = 1000 -- a few milliseconds, in which everybody else waits
local used, ends, sizes, counters, corpus, lease, outcome = unpack(KEYS)
local prefix, version, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local entry, answer = ARGV[4], ARGV[5]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local out = 0

local function take_out(one)
  redis.call('UNLINK', prefix .. one)
  redis.call('ZREM', used, one)
  redis.call('ZREM', ends, one)
  local size = redis.call('HGET', sizes, one)
  if size then
    redis.call('HDEL', sizes, one)
    redis.call('HINCRBY', sizes, 'total', -size)
  end
  out = out + 1
end

local function total()
  return tonumber(redis.call('HGET', sizes, 'total') or 0)
end

-- What has ended, and what is of an older version: nobody has asked for that since, so that it is the longest unused.
for _, one in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, MOST)) do take_out(one) end
local function longest_unused() return redis.call('ZRANGE', used, 0, 0)[1] end
local one = longest_unused()
while one and out < MOST and tonumber(string.match(one, ':(%d+):') or 0) < version do
  take_out(one)
  one = longest_unused()
end

if entry and redis.call('HEXISTS', sizes, entry) == 1 then take_out(entry) end
local wanted = answer and #answer or 0
-- Where the corpus has changed meanwhile the answer is of a version that nobody asks for any more.
local known = redis.call('HMGET', corpus, 'version', 'pending')
local is_old = tonumber(known[1] or 0) > version or tonumber(known[2] or 0) > version
local fits = wanted <= room and not (entry and is_old)
if fits then
  local evicted = 0
  one = longest_unused()
  while one and out < MOST and total() + wanted > room do
    take_out(one)
    evicted = evicted + 1
    one = longest_unused()
  end
  if evicted > 0 then redis.call('HINCRBY', counters, 'evictions', evicted) end
  fits = total() + wanted <= room
end

if entry and fits then
  redis.call('SET', prefix .. entry, answer, 'PX', ARGV[6])
  redis.call('ZADD', used, now, entry)
  redis.call('ZADD', ends, now + ARGV[6], entry)
  redis.call('HSET', sizes, entry, wanted)
  redis.call('HINCRBY', sizes, 'total', wanted)
  for _, name in ipairs({used, ends, sizes}) do redis.call('PEXPIRE', name, ARGV[6] + 60000) end
end

if entry and ARGV[7] ~= '' then
  -- Another leads by now where this lease had ended: the flight is that one's.
  if redis.call('GET', lease) == ARGV[7] then redis.call('DEL', lease) end
  -- Who waits finds the answer in the cache, or else here.
  if not fits then redis.call('SET', outcome, answer, 'PX', ARGV[8]) end
end
return out
