-- How far these tables have come in the log: the newest record that they have
-- taken in. It changes with the rows, so that a copy of the tables that is
-- older, or other tables in their place, say so.
create table position (
	one        boolean primary key default true check (one),
	record     text   not null,
	record_seq bigint not null
);

insert into position (record, record_seq)
select coalesce(max(record) filter (where record_seq = newest), ''), coalesce(max(newest), 0)
from gateways, (select max(record_seq) as newest from gateways) n;

-- Of names that the log gives no more, nothing else is known.
alter table gaps alter t0_us drop not null, alter t1_us drop not null, alter anchor drop not null;

-- Views are read by people and programs that have set no search path: what a
-- function speaks of is named in full.

-- The anchors that decide the wall time of stamps, of these boots, one row for
-- each piece of a boot: an anchor holds from its stamp on, the first one also
-- for all before it. Where it was not synchronised (session or ntp), the next
-- later one that was stands in, else the best one there is, of equals the
-- nearest before, then the nearest after; BOOTTIME does not jump, so an offset
-- learned later is right for what came before. Anchors of no boot (id zero)
-- stand alone and have no pieces.
create or replace function pieces(boots integer[]) returns table (boot integer, from_us bigint, to_us bigint, offset_us bigint, quality smallint)
language sql stable as $$
	with known as (
		select distinct on (a.boot, a.from_us) a.boot, a.from_us, a.offset_us, a.quality
		from fieldgate.anchors a join fieldgate.boots b on b.id = a.boot
		where a.boot = any(pieces.boots) and b.boot <> '00000000-0000-0000-0000-000000000000'
		order by a.boot, a.from_us, a.quality desc, nullif(a.error_us, 0) nulls last, a.id
	)
	select k.boot,
		case when lag(k.from_us) over w is null then -9223372036854775808 else k.from_us end,
		coalesce(lead(k.from_us) over w, 9223372036854775807),
		d.offset_us, d.quality
	from known k cross join lateral (
		select c.offset_us, c.quality from known c where c.boot = k.boot
		order by (c.quality >= 2 and c.from_us = k.from_us) desc,
			case when c.quality >= 2 and c.from_us > k.from_us then c.from_us end nulls last,
			c.quality desc, abs(c.from_us - k.from_us) + case when c.from_us > k.from_us then 4611686018427387904 else 0 end
		limit 1
	) d
	window w as (partition by k.boot order by k.from_us)
$$;

-- The wall time of a stamp of the anchor's boot, as it is known by now.
create or replace function wall(anchor integer, stamp bigint) returns timestamptz
language sql stable as $$
	select timestamptz 'epoch' + (wall.stamp + coalesce((
		select p.offset_us from fieldgate.pieces(array[a.boot]) p where wall.stamp >= p.from_us and wall.stamp < p.to_us
	), a.offset_us)) * interval '1 microsecond'
	from fieldgate.anchors a where a.id = wall.anchor
$$;

-- When a gap ended that a board could not tell, because it lost its power, is
-- not known, and how many readings it hides may not be known either.
create or replace view gaps_v as
select g.gateway, replace(e.epoch::text, '-', '') as epoch, p.first, p.n, p.why,
	wall(p.anchor, p.t0_us) as from_at, case when p.t1_us >= p.t0_us then wall(p.anchor, p.t1_us) end as to_at, p.received_at
from gaps p
join epochs e on e.id = p.epoch
join gateways g on g.id = e.gateway;

create or replace view epochs_v as
select g.gateway, replace(e.epoch::text, '-', '') as epoch, replace(b.boot::text, '-', '') as boot, e.upto, e.ended,
	nullif(e.at_most, 9223372036854775807) as at_most,
	wall(e.anchor, e.t0_us) as from_at, case when e.t1_us >= e.t0_us then wall(e.anchor, e.t1_us) end as to_at
from epochs e
join gateways g on g.id = e.gateway
left join boots b on b.id = e.boot;

-- Readings of boots with several anchors are held against this rule once.
update epochs e set unsure_first = 1, unsure_last = greatest(e.upto, 1)
where (select count(*) from anchors a where a.boot = e.boot) > 1;

update boots b set better = n.newest
from (select boot, max(id) as newest from anchors group by boot having count(*) > 1) n where n.boot = b.id;
