-- Keeps the cached answers of a tenant: adds one, evicts others to make room for it, and removes what has expired. The
-- answers expire by themselves; this script alone changes what is known of them here, and so keeps it exact.
--
-- KEYS: when each answer was last used, when each expires, how many bytes each has (and `total`), the tenant's counters,
--       the copy of its corpus version, the lease of the leader that made the answer, the key for its outcome.
-- ARGV: the prefix of the answers' keys, the corpus version, the room in bytes; and to add an answer:
--       its entry (the rest of its key), the answer, milliseconds to live, the lease's token ('' = none),
--       milliseconds to live of an outcome.
-- Returns how many entries were removed; if that is MOST, there may be more to remove.

redis.replicate_commands() -- required before Redis 7, because TIME differs from run to run

local MOST = 1000 -- takes a few milliseconds, in which Redis does nothing else
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

-- What has expired, and what is of an older version: it is not asked for any more, and so is the longest unused.
for _, one in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, MOST)) do take_out(one) end
local function longest_unused() return redis.call('ZRANGE', used, 0, 0)[1] end
local one = longest_unused()
while one and out < MOST and tonumber(string.match(one, ':(%d+):') or 0) < version do
  take_out(one)
  one = longest_unused()
end

if entry and redis.call('HEXISTS', sizes, entry) == 1 then take_out(entry) end
local wanted = answer and #answer or 0
-- An answer of an older version than the corpus has by now is not asked for any more.
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
  -- If our lease had expired, there is another leader by now, and the lease is that one's.
  if redis.call('GET', lease) == ARGV[7] then redis.call('DEL', lease) end
  -- Those who wait find the answer in the cache, or else here.
  if not fits then redis.call('SET', outcome, answer, 'PX', ARGV[8]) end
end
return out
