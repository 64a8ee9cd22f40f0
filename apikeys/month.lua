-- The month of a moment in seconds of the Unix epoch, as '2026-11' in UTC. Redis's Lua has no calendar.
-- Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil_from_days, whose year begins in March.
local function month_of(seconds)
  local days = math.floor(tonumber(seconds) / 86400) + 719468
  local era = math.floor(days / 146097)
  local day = days - era * 146097
  local year = math.floor(
    (day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  local rest = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * rest + 2) / 153) + 3
  year = year + era * 400
  if month > 12 then month, year = month - 12, year + 1 end
  return string.format('%04d-%02d', year, month)
end

