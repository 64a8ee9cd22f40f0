-- Appends a request's record of use to the stream and settles what it had reserved, in one step: a cost is in its
-- counters exactly if its record is on the stream or has come from there to Postgres, of which counters are made anew.
--
-- KEYS: the stream.
-- ARGV: the month, the cost in millionths of a dollar, how many accounts, their ids, how many reservations, their
--       names, and then the record's fields and values.

redis.replicate_commands()

local accounts = tonumber(ARGV[3])
local held = tonumber(ARGV[4 + accounts])
local first = 5 + accounts + held

redis.call('XADD', KEYS[1], '*', unpack(ARGV, first))
for place = 4, 3 + accounts do
  if held > 0 then redis.call('ZREM', 'held:' .. ARGV[place], unpack(ARGV, 5 + accounts, first - 1)) end
  if tonumber(ARGV[2]) > 0 then
    local counter = ARGV[place] .. ':' .. ARGV[1]
    if redis.call('EXISTS', 'spent:' .. counter) == 1 then
      redis.call('INCRBY', 'spent:' .. counter, ARGV[2])
    else
      -- Whoever is adding it up from the records just now may have missed this one, and begins again.
      redis.call('INCR', 'missed:' .. counter)
      redis.call('EXPIRE', 'missed:' .. counter, 60)
    end
  end
end
