"""What Redis does in one step with impressions.

All keys of shard S are in the hash slot {guesslike:S}:
  {guesslike:S}:impressions      stream, ID <number>-0: b = a batch; `mark` has the latest number
                                 as `batches`
  {guesslike:S}:shown:<subject>  MessagePack: product id -> a number, see impressions.Shown
"""

SHOW = """
-- Keep a batch of impressions, and count what was noticed: see impressions.noticed.
-- Nothing is counted for an erased member: a notice may come late.
-- KEYS[1] impressions  KEYS[2] mark  KEYS[3] erased  KEYS[4..] what was shown to each subject
-- ARGV[1] the batch, or nothing  ARGV[2] batches kept
-- ARGV[3] where a count ends  ARGV[4] products kept of a subject  ARGV[5] seconds likewise
-- ARGV[6..] for each subject, MessagePack: its notices
if ARGV[1] ~= '' then
  local number = redis.call('HINCRBY', KEYS[2], 'batches', 1)
  local id = string.format('%.0f-0', number)
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id, 'b', ARGV[1])
end
local showings, most = tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 4, #KEYS do
  local notices = cmsgpack.unpack(ARGV[i + 2])
  local member = string.match(notices[1][1], '^m:(.*)$')
  if member and redis.call('HEXISTS', KEYS[3], member) == 1 then notices = {} end
  local stored = redis.call('GET', KEYS[i])
  local shown = stored and cmsgpack.unpack(stored) or {}
  for _, notice in ipairs(notices) do
    local minute, row = notice[2], notice[4]
    for _, product in ipairs(notice[3]) do
      local before = shown[product] or 0
      local count = before % 16
      local last = (before - count) / 16
      if row then
        count = minute - last <= row and math.min(count + 1, showings) or 1
        shown[product] = math.max(minute, last) * 16 + count
      elseif last > minute then
        shown[product] = last * 16 + 1
      else
        shown[product] = nil
      end
    end
  end
  local products = {}
  for product in pairs(shown) do products[#products + 1] = product end
  if #products > most then
    table.sort(products, function(one, other)
      local last, of_other = math.floor(shown[one] / 16), math.floor(shown[other] / 16)
      if last == of_other then return one < other end
      return last < of_other
    end)
    for n = 1, #products - most do shown[products[n]] = nil end
  end
  if next(shown) then
    redis.call('SET', KEYS[i], cmsgpack.pack(shown), 'EX', ARGV[5])
  else
    redis.call('DEL', KEYS[i])
  end
end
"""

RECENT = """
-- A subject's latest elements, and what it was shown.
-- KEYS[1] its list  KEYS[2] what was shown to it  ARGV[1] how many, as LRANGE counts from the end
return {redis.call('LRANGE', KEYS[1], ARGV[1], -1), redis.call('GET', KEYS[2])}
"""
