package redisstore

import (
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/midhook/midhook"
)

// late is for how long after its lease a claim that nobody took over can still
// be finished by its owner.
const late = 24 * time.Hour

// A subject is a Redis string, whose parts have fixed widths, in bytes:
//
//	at  1   1  version, which is 1
//	at  2  13  when the key expires
//	at 15  13  until when the highest stage finished is remembered
//	at 28  19  that stage
//	at 47  58  for each event:
//	           22  digest of the event
//	           22  digest of the owner
//	            1  c for a claim, d for a handled event
//	           13  end of the lease or the keep
//
// It is one key for each subject instead of several in one slot, because scripts
// with several keys fail while a cluster moves their slot.
//
// What costs is the calls to Redis, the one to its clock included. So the times
// are milliseconds of a clock of the subject's own, which reads when the key
// expires less what PTTL says is left until then, and 0 when the key is set for
// the first time. Whoever finds no key, or nothing but its own claim, then needs
// no clock: it sets a value that is known beforehand. That is two calls; with
// other events there it is three.
//
// A script that fails, for want of memory say, does so before its first write.

// alone is a subject with nothing in it but this event, which expires after so
// many milliseconds.
func alone(c midhook.Claim, kind byte, ends, known, expires int64) []byte {
	b := make([]byte, 0, 104)
	b = append(b, '1')
	b = appendDigits(b, 13, expires)
	b = appendDigits(b, 13, known)
	b = appendDigits(b, 19, stage(c))
	b = appendDigest(b, "event", c.Key)
	b = appendDigest(b, "owner", c.Owner)
	b = append(b, kind)
	return appendDigits(b, 13, ends)
}

// stage is 0 where there is no order. Stages compare as strings of digits, for
// Lua's numbers are floats.
func stage(c midhook.Claim) int64 {
	if c.Subject == "" {
		return 0
	}
	return max(0, int64(c.Stage))
}

func appendDigits(b []byte, width int, n int64) []byte {
	digits := strconv.AppendInt(make([]byte, 0, 20), n, 10)
	b = append(b, "0000000000000000000"[:width-len(digits)]...)
	return append(b, digits...)
}

// Each script begins with what is there, and with what would be if the event was
// alone, which has all that is said about the event.
const found = `
local key, value, alone = KEYS[1], redis.call('GET', KEYS[1]), ARGV[1]
if value and string.sub(value, 1, 1) ~= '1' then
	return redis.error_reply('ERR midhook: the key has a value of another version')
end
`

// dated reads the clock, which stands still while the server's is set back to
// before it began. Times that mean for ever end at the last one there is.
const dated = `
local sub, format = string.sub, string.format
local ttl = redis.call('PTTL', key)
if ttl < 0 then return redis.error_reply('ERR midhook: the key has lost its expiry') end
local last, late = 9999999999999, 86400000
local expires = tonumber(sub(value, 2, 14))
local now = math.max(0, expires - ttl)
local known, highest = sub(value, 15, 27), sub(value, 28, 46)
local stage = sub(alone, 28, 46)
local ends = math.min(now + sub(alone, 92), last)
`

// The answers are those of midhook.ClaimState.
var acquire = redis.NewScript(found + `
if not value then
	redis.call('SET', key, alone, 'PX', ARGV[2])
	return 1 -- acquired
end
` + dated + `
local pair = sub(alone, 47, 90)
local at = string.find(value, sub(pair, 1, 22), 47, true)
local own = false
if at then
	local over = now >= tonumber(sub(value, at + 45, at + 57))
	if sub(value, at + 44, at + 44) == 'd' then
		if not over then return 3 end -- done
	else
		own = sub(value, at, at + 43) == pair
		if not own and not over then return 2 end -- in flight
	end
end
if not own and now < tonumber(known) and tonumber(stage) > 0 and stage < highest then
	return 4 -- superseded
end

local before, after = '', ''
if at then
	before, after = sub(value, 47, at - 1), sub(value, at + 58)
else
	-- A subject that is never idle must not grow for ever: for an event that is
	-- added, the first two go to the end, or altogether if they are over.
	local from, kept = 47, ''
	for _ = 1, 2 do
		local record = sub(value, from, from + 57)
		if record == '' then break end
		from = from + 58
		local over = tonumber(sub(record, 46))
		if sub(record, 45, 45) == 'c' then over = over + late end
		if now < over then kept = kept .. record end
	end
	before = sub(value, from) .. kept
end
expires = math.max(expires, math.min(ends + late, last))
value = format('1%013.0f', expires) .. known .. highest .. before .. pair .. format('c%013.0f', ends) .. after
redis.call('SET', key, value, 'PX', expires - now)
return 1 -- acquired
`)

// The answers are 1, and 0 to whoever is not the owner.
var finish = redis.NewScript(found + `
local at = value and string.find(value, string.sub(alone, 47, 90), 47, true)
if not at then return 0 end
if string.sub(value, at + 44, at + 44) == 'd' then return 1 end
if #value == 104 and string.sub(value, 15, 27) == '0000000000000' then
	redis.call('SET', key, alone, 'PX', ARGV[2])
	return 1
end
` + dated + `
if tonumber(stage) > 0 then
	local remembered = format('%013.0f', ends)
	if now < tonumber(known) then
		if known > remembered then remembered = known end
		if highest > stage then stage = highest end
	end
	known, highest = remembered, stage
end
expires = math.max(expires, ends)
value = format('1%013.0f', expires) .. known .. highest .. sub(value, 47, at + 43) .. format('d%013.0f', ends) .. sub(value, at + 58)
redis.call('SET', key, value, 'PX', expires - now)
return 1
`)

// The answers are those of finish.
var release = redis.NewScript(found + `
local at = value and string.find(value, string.sub(alone, 47, 90), 47, true)
if not at or string.sub(value, at + 44, at + 44) ~= 'c' then return 0 end
if #value == 104 and string.sub(value, 15, 27) == '0000000000000' then
	redis.call('DEL', key)
	return 1
end
-- GETEX counts as a write, after which a server lets a script set what it likes
-- even when its memory is full.
redis.call('GETEX', key)
redis.call('SET', key, string.sub(value, 1, at - 1) .. string.sub(value, at + 58), 'KEEPTTL')
return 1
`)
