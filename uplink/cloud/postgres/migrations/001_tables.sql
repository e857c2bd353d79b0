-- Readings are many, so their rows are small: names stand in tables of their
-- own, and what all readings of an update share stands in arrivals. Nothing
-- of readings refers to another table by a constraint: one look-up a row and
-- constraint is more than the row itself costs.

create table gateways (
	id         integer generated always as identity primary key,
	gateway    text    not null unique,
	record     text    not null default '',  -- the newest record of its chain that is in these tables
	record_seq bigint  not null default 0    -- and where that stood in the log
);

create table boots (
	id          integer generated always as identity primary key,
	gateway     integer not null references gateways,
	boot        uuid    not null,
	unsure_upto bigint,                      -- newest stamp (µs since boot) of readings taken without a clock to believe
	better      integer not null default 0,  -- the newest anchor that may correct these
	corrected   integer not null default 0,  -- they are corrected by all anchors up to this one
	unique (gateway, boot)
);

-- From from_us (µs since boot) on, wall time = stamp + offset_us.
create table anchors (
	id        integer  generated always as identity primary key,
	boot      integer  not null references boots,
	from_us   bigint   not null,
	offset_us bigint   not null,
	quality   smallint not null,  -- 0 none, 1 rtc, 2 session, 3 ntp
	error_us  bigint   not null,  -- bound on the error; 0 unknown
	unique (boot, from_us, offset_us, quality)
);

create table epochs (
	id           integer generated always as identity primary key,
	gateway      integer not null references gateways,
	epoch        uuid    not null,
	boot         integer references boots,
	upto         bigint  not null default 0,  -- every name up to here is a reading, in a gap or thinned
	unsure_first bigint,                      -- the readings taken without a clock to believe lie in this range
	unsure_last  bigint,
	ended        text,     -- null: growing; 'closed': orderly, at upto; else why at most at_most readings after upto are lost
	at_most      bigint,
	t0_us        bigint,   -- these were taken in this span
	t1_us        bigint,
	anchor       integer references anchors,
	unique (gateway, epoch)
);

create table channels (
	id       integer generated always as identity primary key,
	gateway  integer not null references gateways,
	device   text    not null,
	quantity text    not null,
	unit     text    not null,
	unique (gateway, device, quantity, unit)
);

create table readings (
	seq          bigint           not null,
	measured_at  timestamptz      not null,  -- by the clock that the gateway had then; never changes
	value        double precision not null,
	epoch        integer          not null,
	channel      integer          not null,
	anchor       integer          not null,
	quality      smallint         not null,  -- 0 good, 1 suspect, 2 stale, 3 out_of_range, 4 simulated
	corrected_at timestamptz,                -- by anchors that came later; null: measured_at is the best there is
	primary key (epoch, seq)
);

-- The readings from first on, up to the next row, arrived together.
create table arrivals (
	epoch       integer     not null,
	first       bigint      not null,
	n           bigint      not null,
	received_at timestamptz not null,
	lane        smallint    not null,  -- 1 live, 2 backlog
	primary key (epoch, first)
);

create table gaps (
	epoch       integer     not null references epochs,
	first       bigint      not null,
	n           bigint      not null,
	why         text        not null,
	t0_us       bigint      not null,
	t1_us       bigint      not null,
	anchor      integer     not null references anchors,
	received_at timestamptz not null,
	primary key (epoch, first)
);

-- The names first to first+n-1 were thinned: of those from lacks on, nothing
-- is left but the summaries of the range; those before are readings, too.
create table thinned (
	epoch       integer     not null references epochs,
	first       bigint      not null,
	n           bigint      not null,
	lacks       bigint      not null,
	received_at timestamptz not null,
	primary key (epoch, first)
);

create table summaries (
	epoch       integer  not null,
	first       bigint   not null,  -- of the thinned range
	channel     integer  not null references channels,
	from_us     bigint   not null,  -- the interval begins here (µs since boot)
	interval_us bigint   not null,
	n           bigint   not null,
	nan         bigint   not null,  -- of these not a number
	min         double precision not null,
	max         double precision not null,
	mean        double precision not null,
	quality     smallint not null,  -- the worst
	anchor      integer  not null references anchors,
	primary key (epoch, first, channel, from_us),
	foreign key (epoch, first) references thinned
);

create table events (
	epoch       integer     not null references epochs,
	seq         bigint      not null,
	kind        text        not null,
	at_us       bigint      not null,
	anchor      integer     not null references anchors,
	device      text        not null,
	body        json,
	n           bigint      not null,  -- how many like it this stands for
	volatile    boolean     not null,
	received_at timestamptz not null,
	primary key (epoch, seq)
);

-- Records of the log that these tables could not take, whole.
create table refused (
	gateway     text        not null,
	record      text        not null primary key,
	record_seq  bigint      not null,
	received_at timestamptz not null,
	why         text        not null,
	body        bytea       not null
);
