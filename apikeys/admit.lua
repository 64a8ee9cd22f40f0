-- Admits one request in one round trip: the key's copy, its token bucket, the cached answer and, where that is
-- found, the record of use. Time is Redis's own, so that every process agrees on it.
--
-- KEYS: the key's copy, the stream of records, the mark of the key's last change.
-- ARGV: digest of the question and its parameters ('' where nothing can be cached), request id, endpoint,
--       method, milliseconds so far, question as asked, the client's address in bits, '1' where the
--       request asks for what may cost money.
-- Returns {'absent', mark}, {'unknown'}, {'uncounted', month, tenant, line of keys ('' = the tenant's own), ...}
--         where the counter of a budget is missing, or
--         {'known', copy, admitted (0/1), tokens left, milliseconds until one more, milliseconds until full,
--          corpus version ('' = do not cache), stored answer or false, from here (0/1),
--          whose budget is spent ('key', 'tenant' or '')}.

redis.replicate_commands() -- Redis before 7 asks for it, because TIME differs from run to run

local copy = redis.call('GET', KEYS[1])
if not copy then return {'absent', redis.call('GET', KEYS[3]) or ''} end
if copy == '' then return {'unknown'} end

local key = cjson.decode(copy)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if key.expires and key.expires <= now then return {'unknown'} end
local standing = redis.call('MGET', 'closed:' .. key.tenant, 'budget:' .. key.tenant)
if standing[1] then return {'unknown'} end

-- A request that will be refused finds nothing here: finding an answer also records it as given.
local may_ask = false
for _, scope in ipairs(key.scopes) do
  if scope == 'query' then may_ask = true end
end

-- A tenant's budget that was changed lately stands beside the key's copy, which was read before ('' = it has none).
local of_tenant = key.tenant_budget
if standing[2] then of_tenant = tonumber(standing[2]) end
local spent = ''
if may_ask and ARGV[8] == '1' and (key.budget or of_tenant) then
  local month = month_of(clock[1])
  local uncounted = {'uncounted', month, key.tenant}
  local function check(line, budget, whose)
    local sum = redis.call('GET', 'spent:' .. (line or key.tenant) .. ':' .. month)
    if not sum then
      table.insert(uncounted, line or '')
    elseif tonumber(sum) >= budget then
      spent = whose
    end
  end
  if of_tenant then check(nil, of_tenant, 'tenant') end
  if key.budget then check(key.line, key.budget, 'key') end
  if #uncounted > 3 then return uncounted end
end

local from_here = 1
if key.networks[1] then
  from_here = 0
  for _, prefix in ipairs(key.networks) do
    if string.sub(ARGV[7], 1, #prefix) == prefix then from_here = 1 end
  end
end

local per_ms = key.rate / 60000
local bucket = 'bucket:' .. key.key
local state = redis.call('HMGET', bucket, 'tokens', 'at')
local tokens = tonumber(state[1]) or key.burst
local at = tonumber(state[2]) or now
tokens = math.min(key.burst, tokens + math.max(0, now - at) * per_ms)
local admitted = 0
-- A sum of fractions may end a hair below one; whoever waited as long as he was told to is let in. And what
-- comes from a wrong network takes nothing, or a stolen key could spend its owner's limit.
if from_here == 1 and tokens >= 1 - 1e-9 then
  tokens = math.max(0, tokens - 1)
  admitted = 1
end
-- %.17g keeps the fraction: a rounded one would leak or mint tokens at every request.
local exact = string.format('%.17g', tokens)
redis.call('HSET', bucket, 'tokens', exact, 'at', string.format('%.0f', now))
local until_full = math.ceil((key.burst - tokens) / per_ms)
redis.call('PEXPIRE', bucket, until_full + 60000)
local until_next = math.max(0, math.ceil((1 - tokens) / per_ms))

local version = ''
local answer = false
if admitted == 1 and may_ask and spent == '' and ARGV[1] ~= '' then
  local corpus = redis.call('HMGET', 'corpus:' .. key.tenant, 'version', 'pending')
  -- While a change of the corpus is being committed nobody knows which version is true: no cache then.
  if corpus[1] and tonumber(corpus[2] or 0) <= tonumber(corpus[1]) then
    version = corpus[1]
    local entry = table.concat({key.rights, version, ARGV[1]}, ':')
    answer = redis.call('GET', table.concat({'answer', key.tenant, entry}, ':'))
    -- Which answers make way for others is for their last use to say; see queries/shelf.lua.
    if answer then redis.call('ZADD', 'cached:' .. key.tenant .. ':used', 'XX', now, entry) end
  end
  if version ~= '' then
    redis.call('HINCRBY', 'cache:' .. key.tenant, answer and 'hits' or 'misses', 1)
  end
  if answer then
    redis.call('XADD', KEYS[2], '*', 'id', ARGV[2], 'tenant', key.tenant, 'key', key.key,
      'endpoint', ARGV[3], 'method', ARGV[4], 'status', '200', 'ms', ARGV[5], 'from_cache', '1',
      'question', ARGV[6], 'answer', string.sub(answer, 17, 52))
  end
end
return {'known', copy, admitted, exact, until_next, until_full, version, answer, from_here, spent}
