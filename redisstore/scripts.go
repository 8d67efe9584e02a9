package redisstore

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// late is for how long after its lease a claim that nobody took over can still
// be finished by its owner.
const late = 24 * time.Hour

// A subject is a Redis hash, which holds
//
//	digest of an event → c<end of its lease> <digest of the owner>    a claim
//	digest of an event → d<end of its keep> <digest of the owner>     a handled event
//	stage              → s<end of its keep> <highest stage finished>
//
// The ends are microseconds of the server's clock, for the fields of a hash don't
// expire by themselves before Redis 7.4. The hash does, and not before the last of
// them. It is one key for each subject instead of several in one slot, because
// scripts with several keys fail while a cluster moves their slot.
//
// What costs is the calls, so they are few: four or five. A script that fails,
// for want of memory say, does so before its first write.

// common is what every script begins with.
const common = `
local key, event, owner, stage = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

local function parse(record)
	if not record then return nil end
	local kind, ends, rest = string.match(record, '^(%a)(%d+) (.+)$')
	return kind, tonumber(ends), rest
end

local function clock()
	local t = redis.call('TIME')
	return t[1] * 1000000 + t[2]
end

-- The hash expires no earlier than in so many milliseconds.
local function outlive(ms)
	if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end
`

// The lease in µs, and how long to keep the claim in ms.
var acquire = redis.NewScript(common + `
local lease, keep = ARGV[4], ARGV[5]
local now = clock()
local found = redis.call('HMGET', key, event, 'stage')
local kind, ends, holder = parse(found[1])

if kind == 'd' and now < ends then return 'done' end
if not (kind == 'c' and holder == owner) then
	if kind == 'c' and now < ends then return 'in flight' end
	local _, known, highest = parse(found[2])
	if stage ~= '' and known and now < known and stage < highest then return 'superseded' end
end
redis.call('HSET', key, event, string.format('c%d %s', now + lease, owner))
outlive(keep)
return 'acquired'
`)

// The keep in µs and in ms, and what late is in µs.
var finish = redis.NewScript(common + `
local keep, ms, late = ARGV[4], ARGV[5], ARGV[6]
local found = redis.call('HMGET', key, event, 'stage')
local kind, _, holder = parse(found[1])
if holder ~= owner then return 'not owner' end
if kind == 'd' then return 'ok' end

local now = clock()
local ends = now + keep
local handled = string.format('d%d %s', ends, owner)
if stage == '' then
	redis.call('HSET', key, event, handled)
else
	local _, known, highest = parse(found[2])
	if known and now < known then
		ends = math.max(known, ends)
		if highest > stage then stage = highest end
	end
	redis.call('HSET', key, event, handled, 'stage', string.format('s%d %s', ends, stage))
end
outlive(ms)

-- A subject that is never idle must not grow for ever: one finish in eight, by
-- the clock, looks at some of its fields.
if now % 8 == 0 then
	local some = redis.call('HRANDFIELD', key, 64, 'WITHVALUES')
	for i = 1, #some, 2 do
		local kind, ends = parse(some[i + 1])
		if kind == 'c' then ends = ends + late end
		if ends <= now then redis.call('HDEL', key, some[i]) end
	end
end
return 'ok'
`)

var release = redis.NewScript(common + `
local kind, _, holder = parse(redis.call('HGET', key, event))
if kind ~= 'c' or holder ~= owner then return 'not owner' end
redis.call('HDEL', key, event)
return 'ok'
`)
