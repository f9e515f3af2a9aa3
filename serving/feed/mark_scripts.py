"""What Redis does in one step with marks, which say what `marks.py` has.

A mark is the last element of its subject's list, so that `recent` brings it along:
  {guesslike:S}:s:<subject>  its last element may be "@<mark>", in MessagePack
  {guesslike:S}:erased       hash: member id -> the number of its erasure, until that is trimmed
"""

_TAKE = """
local function take(list)
  local last = redis.call('LINDEX', list, -1)
  if last and string.sub(last, 1, 1) == '@' then
    redis.call('RPOP', list)
    return cmsgpack.unpack(string.sub(last, 2))
  end
end
local function put(list, mark)
  redis.call('RPUSH', list, '@' .. cmsgpack.pack(mark))
end
"""

_NUMBERED = """
local function numbered(log, seen, mark, now, id, body)
  local known = redis.call('HMGET', mark, 'last', 'at')
  local seq = tonumber(known[1] or 0) + 1
  local at = string.format('%.0f', math.max(tonumber(now), tonumber(known[2] or 0)))
  redis.call('ZADD', seen, at, id)
  redis.call('XADD', log, string.format('%.0f-0', seq), 'e', id, 'b', body)
  redis.call('HSET', mark, 'last', string.format('%.0f', seq), 'at', at)
  return seq
end
"""

CLAIM = (
    """
-- A visitor becomes one of a member's. Returns the one that is out of reach now, or nothing.
-- KEYS[1] the member's list  ARGV[1] the visitor  ARGV[2] visitors kept
"""
    + _TAKE
    + """
local mark = take(KEYS[1]) or {0, {}}
local visitors = {}
for _, visitor in ipairs(mark[2]) do
  if visitor ~= ARGV[1] then visitors[#visitors + 1] = visitor end
end
visitors[#visitors + 1] = ARGV[1]
local gone = #visitors > tonumber(ARGV[2]) and table.remove(visitors, 1)
put(KEYS[1], {mark[1], visitors})
return gone
"""
)

IDENTIFY = (
    """
-- Number an identification and remember it, unless the visitor is that member's. Returns 1 or 0.
-- KEYS[1] log  KEYS[2] seen  KEYS[3] mark  KEYS[4] the visitor's list
-- ARGV[1] now in microseconds  ARGV[2] event id  ARGV[3] body  ARGV[4] the member
-- ARGV[5] identifications kept
"""
    + _TAKE
    + _NUMBERED
    + """
local history = take(KEYS[4]) or {}
local latest = history[#history]
if latest and latest[1] == ARGV[4] then
  put(KEYS[4], history)
  return 0
end
local seq = numbered(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3])
history[#history + 1] = {ARGV[4], tonumber(ARGV[1]), seq}
if #history > tonumber(ARGV[5]) then
  table.remove(history, 1)
  history[1][1] = ''
end
put(KEYS[4], history)
return 1
"""
)

DISOWN = (
    """
-- What a visitor was as a member is nobody's from now on.
-- KEYS[1] the visitor's list  ARGV[1] the member  ARGV[2] '1': its latest events are forgotten, too
"""
    + _TAKE
    + """
local history = take(KEYS[1])
if not history then return end
for _, one in ipairs(history) do
  if one[1] == ARGV[1] then one[1] = '' end
end
if ARGV[2] == '1' then redis.call('DEL', KEYS[1]) end
put(KEYS[1], history)
"""
)

ERASE = (
    """
-- Number an erasure, forget the member's latest events and visitors, and remember that.
-- KEYS[1] log  KEYS[2] seen  KEYS[3] mark  KEYS[4] the member's list  KEYS[5] erased
-- ARGV[1] now in microseconds  ARGV[2] event id  ARGV[3] body  ARGV[4] the member
"""
    + _TAKE
    + _NUMBERED
    + """
local seq = numbered(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3])
redis.call('DEL', KEYS[4])
put(KEYS[4], {seq, {}})
redis.call('HSET', KEYS[5], ARGV[4], string.format('%.0f', seq))
"""
)

TRIMMED = (
    """
-- Erasures up to a number are in every model that is kept: nobody has to be hidden for them.
-- KEYS[1] erased  KEYS[2..] lists of erased members  ARGV[1] the number
-- ARGV[2..] the members of those lists
"""
    + _TAKE
    + """
local stop = tonumber(ARGV[1])
for i = 2, #KEYS do
  if tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0) <= stop then
    redis.call('HDEL', KEYS[1], ARGV[i])
    local mark = take(KEYS[i])
    if mark and #mark[2] > 0 then put(KEYS[i], {0, mark[2]}) end
  end
end
"""
)
