-- The anchors that decide the wall time of stamps, of these boots: an anchor
-- holds from its stamp on, the first one also for all before it. Where it was
-- not synchronised (session or ntp), the next later one that was stands in;
-- BOOTTIME does not jump, so an offset learned later is right for what came
-- before. Failing that, the best one there is.
create function pieces(boots integer[]) returns table (boot integer, from_us bigint, to_us bigint, offset_us bigint, quality smallint)
language sql stable as $$
	with known as (
		select distinct on (a.boot, a.from_us) a.boot, a.from_us, a.offset_us, a.quality
		from anchors a where a.boot = any(boots)
		order by a.boot, a.from_us, a.quality desc, nullif(a.error_us, 0) nulls last, a.id
	)
	select k.boot,
		case when lag(k.from_us) over w is null then -9223372036854775808 else k.from_us end,
		coalesce(lead(k.from_us) over w, 9223372036854775807),
		d.offset_us, d.quality
	from known k cross join lateral (
		select c.offset_us, c.quality from known c where c.boot = k.boot
		order by c.quality >= 2 and c.from_us = k.from_us desc,
			case when c.quality >= 2 and c.from_us > k.from_us then c.from_us end nulls last,
			c.quality desc, abs(c.from_us - k.from_us) + case when c.from_us > k.from_us then 4611686018427387904 else 0 end
		limit 1
	) d
	window w as (partition by k.boot order by k.from_us)
$$;

-- The wall time of a stamp with the anchor it came with, as it is known by now.
create function wall(anchor integer, stamp bigint) returns timestamptz
language sql stable as $$
	select timestamptz 'epoch' + (stamp + coalesce((
		select p.offset_us from pieces(array[a.boot]) p
		where a.quality < 2 and a.quality < p.quality and stamp >= p.from_us and stamp < p.to_us
	), a.offset_us)) * interval '1 microsecond'
	from anchors a where a.id = wall.anchor
$$;

create function quality_name(quality smallint) returns text
language sql immutable as $$ select (array['good', 'suspect', 'stale', 'out_of_range', 'simulated'])[quality + 1] $$;

create function clock_name(quality smallint) returns text
language sql immutable as $$ select (array['none', 'rtc', 'session', 'ntp'])[quality + 1] $$;

create index readings_by_channel on readings (channel, coalesce(corrected_at, measured_at));

create view readings_v as
select g.gateway, replace(e.epoch::text, '-', '') as epoch, r.seq, c.device, c.quantity, c.unit,
	r.value, quality_name(r.quality) as quality,
	coalesce(r.corrected_at, r.measured_at) as at,
	r.measured_at, clock_name(a.quality) as time_quality, r.corrected_at,
	(select k.received_at from arrivals k where k.epoch = r.epoch and k.first <= r.seq order by k.first desc limit 1) as received_at
from readings r
join channels c on c.id = r.channel
join gateways g on g.id = c.gateway  -- so that gateway, device and quantity lead to the index
join epochs e on e.id = r.epoch
join anchors a on a.id = r.anchor;

create view gaps_v as
select g.gateway, replace(e.epoch::text, '-', '') as epoch, p.first, p.n, p.why,
	wall(p.anchor, p.t0_us) as from_at, wall(p.anchor, p.t1_us) as to_at, p.received_at
from gaps p
join epochs e on e.id = p.epoch
join gateways g on g.id = e.gateway;

create view epochs_v as
select g.gateway, replace(e.epoch::text, '-', '') as epoch, replace(b.boot::text, '-', '') as boot, e.upto, e.ended, e.at_most,
	wall(e.anchor, e.t0_us) as from_at, wall(e.anchor, e.t1_us) as to_at
from epochs e
join gateways g on g.id = e.gateway
left join boots b on b.id = e.boot;

create view thinned_v as
select g.gateway, replace(e.epoch::text, '-', '') as epoch, t.first, t.n as names, t.lacks, c.device, c.quantity, c.unit,
	wall(s.anchor, s.from_us) as at, s.interval_us * interval '1 microsecond' as length,
	s.n, s.nan, s.min, s.max, s.mean, quality_name(s.quality) as quality, t.received_at
from summaries s
join thinned t using (epoch, first)
join channels c on c.id = s.channel
join epochs e on e.id = s.epoch
join gateways g on g.id = e.gateway;

create view events_v as
select g.gateway, replace(e.epoch::text, '-', '') as epoch, v.seq, v.kind, wall(v.anchor, v.at_us) as at,
	clock_name(a.quality) as time_quality, v.device, v.body, v.n, v.volatile, v.received_at
from events v
join epochs e on e.id = v.epoch
join gateways g on g.id = e.gateway
join anchors a on a.id = v.anchor;
