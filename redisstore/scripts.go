package redisstore

import (
	"encoding/binary"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/midhook/midhook"
)

// late is for how long after its lease a claim that nobody took over can still
// be finished by its owner.
const late = 24 * time.Hour

// A subject is a Redis string, whose parts have fixed widths, in bytes. Numbers
// are big-endian.
//
//	at  1   1  version, which is 2
//	at  2   6  when the key expires
//	at  8   6  until when the highest finished stage is remembered
//	at 14   8  that stage
//	at 22  45  for each event, the claims before what is handled:
//	           16  digest of the event
//	           16  digest of the owner
//	            1  c for a claim, d for a handled event
//	            6  end of the lease or the keep
//	            6  end of the claim's hold of the subject
//
// It is one key for each subject instead of several in one slot, because scripts
// with several keys fail while a cluster moves their slot.
//
// What costs is the calls to Redis, the one to its clock included. So the times
// are milliseconds of a clock of the subject's own, which reads when the key
// expires less what PTTL says is left until then, and 0 when the key is set for
// the first time. A script that finds no key, or nothing but its own claim, then
// needs no clock: it sets a value that is known beforehand. That is two calls;
// with other events there it is three.
//
// A script that fails, for want of memory say, does so before its first write.

// alone is a subject with nothing in it but this event. Times are in milliseconds
// from now.
func alone(c midhook.Claim, kind byte, ends, hold, known, expires int64) []byte {
	b := make([]byte, 0, 66)
	b = append(b, '2')
	b = appendTime(b, expires)
	b = appendTime(b, known)
	b = binary.BigEndian.AppendUint64(b, uint64(stage(c)))
	b = appendDigest(b, "event", c.Key)
	b = appendDigest(b, "owner", c.Owner)
	b = append(b, kind)
	b = appendTime(b, ends)
	return appendTime(b, hold)
}

// stage is 0 where there is no order.
func stage(c midhook.Claim) int64 {
	if c.Subject == "" {
		return 0
	}
	return max(0, int64(c.Stage))
}

// appendTime appends the lower six bytes, which are enough for 8,900 years.
func appendTime(b []byte, millis int64) []byte {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], uint64(millis))
	return append(b, all[2:]...)
}

// Each script begins with the value that is there, and with the value that would
// be there if the event was alone. The latter has all that is said about the event.
const found = `
local key, value, alone = KEYS[1], redis.call('GET', KEYS[1]), ARGV[1]
local sub, find = string.sub, string.find
if value and sub(value, 1, 1) ~= '2' then
	return redis.error_reply('ERR midhook: the key has a value of another version')
end
local never = '\0\0\0\0\0\0'
`

// dated reads the clock, which stands still while the server's is set back to
// before it began. Times that mean for ever end at the last one there is. A stage
// is two numbers, for Lua's numbers are floats.
const dated = `
local pack, unpack = struct.pack, struct.unpack
local ttl = redis.call('PTTL', key)
if ttl < 0 then return redis.error_reply('ERR midhook: the key has lost its expiry') end
local last, late = 281474976710655, 86400000
local expires, known, topHigh, topLow = unpack('>I6I6I4I4', value, 2)
local now = math.max(0, expires - ttl)
local high, low, event, owner, _, period = unpack('>I4I4c16c16c1I6', alone, 14)
local ends = math.min(now + period, last)
local function header()
	return pack('>c1I6I6I4I4', '2', expires, known, topHigh, topLow)
end
`

// The answers are those of midhook.ClaimState.
var acquire = redis.NewScript(found + `
if not value then
	redis.call('SET', key, alone, 'PX', ARGV[2])
	return 1 -- acquired
end
` + dated + `
local hold, mine, busy, claims, at = ends, false, false, '', 22
while at < #value do
	local its, whose, kind, lease, held = unpack('>c16c16c1I6I6', value, at)
	if kind == 'd' then break end
	if whose == owner then
		hold, mine = held, true -- the hold is as old as the claim, which moves if it was another event's
	elseif its == event then
		if now < lease then return 2 end -- in flight
	elseif now < lease + late then
		claims = claims .. sub(value, at, at + 44)
		busy = busy or now < held
	end
	at = at + 45
end
local from = at -- what is handled
at = find(value, event, from, true)
if at and now < unpack('>I6', value, at + 33) then return 3 end -- done
if not mine then
	if busy then return 5 end
	if now < known and high + low > 0 and (high < topHigh or high == topHigh and low < topLow) then
		return 4 -- superseded
	end
end

-- A subject that is never idle must not grow for ever: the first two events that
-- are handled go to the end, or altogether if they are over.
if at then value = sub(value, 1, at - 1) .. sub(value, at + 45) end
local kept = ''
for _ = 1, 2 do
	if from > #value then break end
	if now < unpack('>I6', value, from + 33) then kept = kept .. sub(value, from, from + 44) end
	from = from + 45
end
expires = math.max(expires, math.min(ends + late, last))
value = header() .. claims .. pack('>c16c16c1I6I6', event, owner, 'c', ends, hold) .. sub(value, from) .. kept
redis.call('SET', key, value, 'PX', expires - now)
return 1 -- acquired
`)

// The answers are 1, and 0 to whoever is not the owner. What alternates sets the
// subject's other handled events and stages aside.
var finish = redis.NewScript(found + `
local at = value and find(value, sub(alone, 22, 53), 22, true)
if not at then return 0 end
if sub(value, at + 32, at + 32) == 'd' then return 1 end
local alternates = ARGV[3] == '1'
local others = sub(value, 22, at - 1) .. sub(value, at + 45)
if (others == '' or alternates and sub(others, 33, 33) == 'd') and (alternates or sub(value, 8, 13) == never) then
	redis.call('SET', key, alone, 'PX', ARGV[2])
	return 1
end
` + dated + `
if alternates then
	local claims = 1
	while sub(others, claims + 32, claims + 32) == 'c' do claims = claims + 45 end
	others, known, topHigh, topLow = sub(others, 1, claims - 1), 0, 0, 0
end
if high + low > 0 then
	if now >= known then
		known, topHigh, topLow = ends, high, low
	else
		known = math.max(known, ends)
		if topHigh < high or topHigh == high and topLow < low then topHigh, topLow = high, low end
	end
end
expires = math.max(expires, ends)
value = header() .. others .. pack('>c16c16c1I6I6', event, owner, 'd', ends, 0)
redis.call('SET', key, value, 'PX', expires - now)
return 1
`)

// The answers are those of finish.
var release = redis.NewScript(found + `
local at = value and find(value, sub(alone, 22, 53), 22, true)
if not at or sub(value, at + 32, at + 32) ~= 'c' then return 0 end
local others = sub(value, 22, at - 1) .. sub(value, at + 45)
if others == '' and sub(value, 8, 13) == never then
	redis.call('DEL', key)
	return 1
end
-- GETEX counts as a write, after which a server lets a script set what it likes
-- even when its memory is full.
redis.call('GETEX', key)
redis.call('SET', key, sub(value, 1, 21) .. others, 'KEEPTTL')
return 1
`)
