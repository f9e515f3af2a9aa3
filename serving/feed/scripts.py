"""What Redis does in one step: the feed's Lua scripts.

All keys of shard S are in the hash slot {guesslike:S}:
  {guesslike:S}:log          stream, ID <seq>-0: e = event id, b = body
  {guesslike:S}:seen         sorted set: event id, scored with the time it was accepted
  {guesslike:S}:mark         hash: last, drained, fixed, trimmed, at (latest time accepted)
  {guesslike:S}:s:<subject>  list, newest last: "<seq> <body>"; behind them may be a mark, "@…"
What sets marks is in mark_scripts.py, what workers tell each other of their callers in counts.py;
impressions are in impression_scripts.py.

News of products are in slot {guesslike:0}:
  {guesslike:0}:news         hash: product id -> JSON of what is said of it
  {guesslike:0}:news-at      sorted set: product id, scored with the number of its latest change
"""

APPEND = """
-- Accept the events that are not known yet. Returns how many were.
-- KEYS[1] log  KEYS[2] seen  KEYS[3] mark  KEYS[4..] the batch's subject lists
-- ARGV[1] now in microseconds  ARGV[2] list elements kept
-- ARGV[3..] for each event: its id, its body, its list's place in KEYS (0: nobody's)
local mark = redis.call('HMGET', KEYS[3], 'last', 'at')
local before = tonumber(mark[1] or 0)
local at = math.max(tonumber(ARGV[1]), tonumber(mark[2] or 0))
local last = before
for i = 3, #ARGV, 3 do
  if redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', at), ARGV[i]) == 1 then
    last = last + 1
    local seq = string.format('%.0f', last)
    redis.call('XADD', KEYS[1], seq .. '-0', 'e', ARGV[i], 'b', ARGV[i + 1])
    local list = tonumber(ARGV[i + 2])
    if list > 0 then
      local mark = redis.call('LINDEX', KEYS[list], -1)
      mark = mark and string.sub(mark, 1, 1) == '@' and redis.call('RPOP', KEYS[list])
      redis.call('RPUSH', KEYS[list], seq .. ' ' .. ARGV[i + 1])
      redis.call('LTRIM', KEYS[list], '-' .. ARGV[2], '-1')
      if mark then redis.call('RPUSH', KEYS[list], mark) end
    end
  end
end
redis.call('HSET', KEYS[3], 'last', string.format('%.0f', last), 'at', string.format('%.0f', at))
return last - before
"""

FIX = """
-- Fix the next range of the drain, unless one is fixed. Returns {drained, fixed}, or nothing.
-- KEYS[1] mark  ARGV[1] the most numbers in a range
local mark = redis.call('HMGET', KEYS[1], 'last', 'drained', 'fixed')
local last, drained = tonumber(mark[1] or 0), tonumber(mark[2] or 0)
local fixed = tonumber(mark[3] or 0)
if fixed == 0 then
  if last == drained then return false end
  fixed = math.min(last, drained + tonumber(ARGV[1]))
  redis.call('HSET', KEYS[1], 'fixed', string.format('%.0f', fixed))
end
return {drained, fixed}
"""

CONFIRM = """
-- The fixed range is drained. Returns how far the shard is drained now.
-- KEYS[1] mark  ARGV[1] the number before the range  ARGV[2] its last
local mark = redis.call('HMGET', KEYS[1], 'drained', 'fixed')
if (mark[1] or '0') == ARGV[1] and mark[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'drained', ARGV[2])
  redis.call('HDEL', KEYS[1], 'fixed')
  return tonumber(ARGV[2])
end
return tonumber(mark[1] or 0)
"""

TRIM = """
-- One step: drop the log's head and its subjects' list heads, forget ids that are old and gone.
-- KEYS[1] log  KEYS[2] seen  KEYS[3] mark  KEYS[4..] the lists of the subjects in that head
-- ARGV[1] the last number to drop  ARGV[2] ids accepted before this may be forgotten
local stop = tonumber(ARGV[1])
for i = 4, #KEYS do
  local head = redis.call('LINDEX', KEYS[i], 0)
  local seq = head and tonumber(string.match(head, '^%d+'))
  while seq and seq <= stop do  -- a mark has no number, and stays
    redis.call('LPOP', KEYS[i])
    head = redis.call('LINDEX', KEYS[i], 0)
    seq = head and tonumber(string.match(head, '^%d+'))
  end
end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', stop + 1))
if stop > tonumber(redis.call('HGET', KEYS[3], 'trimmed') or 0) then
  redis.call('HSET', KEYS[3], 'trimmed', ARGV[1])
end
local before = tonumber(ARGV[2])
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if oldest then
  -- Times in `seen` never fall with the number, so all ids of the log are at or above this.
  before = math.min(before, tonumber(redis.call('ZSCORE', KEYS[2], oldest[2][2])))
end
return redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. string.format('%.0f', before))
"""

TELL = """
-- Take up news of products: facts that are named replace what was said, the others stay.
-- KEYS[1] news  KEYS[2] news-at  ARGV for each change: product id, JSON of its facts
local latest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local number = tonumber(latest[2] or 0)
for i = 1, #ARGV, 2 do
  local facts = cjson.decode(redis.call('HGET', KEYS[1], ARGV[i]) or '{}')
  for name, fact in pairs(cjson.decode(ARGV[i + 1])) do facts[name] = fact end
  number = number + 1
  redis.call('HSET', KEYS[1], ARGV[i], cjson.encode(facts))
  redis.call('ZADD', KEYS[2], string.format('%.0f', number), ARGV[i])
end
"""

TOLD = """
-- Returns the number of the latest change, then id and JSON of each product that changed after one.
-- KEYS[1] news  KEYS[2] news-at  ARGV[1] the number
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES')
if #found == 0 then return {ARGV[1]} end
local told = {found[#found]}
for i = 1, #found, 2 do
  told[#told + 1] = found[i]
  told[#told + 1] = redis.call('HGET', KEYS[1], found[i])
end
return told
"""
