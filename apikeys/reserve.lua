-- Reserves the most that an answer can cost in every budget that it falls under, or in none of them.
--
-- KEYS: none; the names are made of the month, which Redis's own clock tells.
-- ARGV: the reservation's name, its millionths of a dollar (0: ask whether anything is left, reserve nothing),
--       milliseconds until it ends by itself, then for each account its id and its budget in millionths ('' = none).
-- Returns {'held'}, {'spent', n} or {'short', n} for the n-th account, or {'uncounted', month, n, n, ...} for the
-- accounts whose counter is missing.

redis.replicate_commands()

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local month = month_of(clock[1])
local amount = tonumber(ARGV[2])
local uncounted = {'uncounted', month}
local refusal = false

for place = 4, #ARGV, 2 do
  local number = (place - 2) / 2
  local held = 'held:' .. ARGV[place]
  local budget = tonumber(ARGV[place + 1])
  redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
  if budget then
    local spent = tonumber(redis.call('GET', 'spent:' .. ARGV[place] .. ':' .. month))
    if not spent then
      table.insert(uncounted, number)
    elseif spent >= budget then
      refusal = refusal or {'spent', number}
    elseif amount > 0 then
      local sum = spent + amount
      for _, name in ipairs(redis.call('ZRANGE', held, 0, -1)) do
        sum = sum + tonumber(string.match(name, '%d+$'))
      end
      if sum > budget then refusal = refusal or {'short', number} end
    end
  end
end

if #uncounted > 2 then return uncounted end
if refusal then return refusal end
if amount > 0 then
  for place = 4, #ARGV, 2 do
    redis.call('ZADD', 'held:' .. ARGV[place], now + ARGV[3], ARGV[1] .. ':' .. ARGV[2])
    redis.call('PEXPIRE', 'held:' .. ARGV[place], ARGV[3])
  end
end
return {'held'}
