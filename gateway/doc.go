// Package gateway is the vocabulary of fieldgate: readings and their names,
// channels, stamps and anchors, epochs, blocks and gaps. It uses the standard
// library only and does no I/O.
//
// # The promises
//
// Everything else in this program exists to keep these. Each names the test
// that tries to break it, or says that there is none yet.
//
//  1. Every reading is accounted for. (gateway, epoch, seq) names a reading for
//     ever: it is in the cloud's log, or in the gateway's store, or inside a
//     gap record that says from, to or at most how many, and why.
//     Tests: store TestModel, TestCrashImages, TestFlippedBits, TestEveryStepFailsInEveryWay and
//     TestFullStoreThinsBeforeItDrops, cmd/fieldgate TestEveryReadingIsAccountedFor and
//     TestKilledAtAnyTime,
//     uplink/cloud TestRandomUpdatesAgainstModel, uplink/cloud/model TestHistories (the rules of
//     resuming, all parts real) and TestJudgeSees, packaging/pi TestPi.
//     On lines that are cut, stall or reset inside of a frame: cmd/fieldgate TestOverBadLines; that
//     lose 30 % of their packets, take 2 s each way, are half open or carry 64 kbit/s: cmd/fieldgate
//     TestOverALossyLine, TestHalfOpenLine, TestOverASlowLine.
//  2. The loss window is one number. A power cut costs at most the readings of
//     flush_interval plus the duration of one commit that the cloud had not yet
//     acknowledged. An orderly stop costs nothing. Both figures are shown.
//     Tests: store TestFlushWithinInterval, cmd/fieldgate
//     TestEveryReadingIsAccountedFor, packaging/pi TestPi (a power cut).
//  3. Acknowledged means on the cloud's disk, and the cloud says so on the
//     wire. The gateway gives readings up only after that ack and a later one
//     that did not go back.
//     Tests: uplink/cloud TestCrashBetweenStoringAndAck, store
//     TestReadingsAreDroppedOnlyAfterLaterAck, uplink TestLostAckCostsAResend,
//     uplink/cloud/model TestHistories (logs that go back).
//  4. Live is never behind backlog, and backlog is never starved.
//     Tests: uplink TestLiveBeforeBacklogOnASlowLine (64 kbit/s, an hour of backlog, in virtual
//     time) and TestWindows.
//  5. Sampling waits for nobody: not for the card, the network, a dashboard, or
//     another bus's dead sensor.
//     Tests: gateway/sample TestVisitThatDoesNotReturn and TestBusGoneAndBack, store
//     TestCardThatFailsAndRecovers, gateway/local
//     TestStalledClientIsDropped.
//  6. A stamp never pretends. Time that was not synchronised is marked; nothing
//     is ordered or de-duplicated by wall time.
//     Tests: gateway/clock TestStepsOfTheWallClock and TestClockQualityFromSystem.
//  7. A command acts at most once, never after its expiry; its result arrives
//     at least once.
//     Tests: gateway/command TestPowerCutsAtEveryStep, TestCommandExpiryByBootClock, TestCardThatTakesNoRecord and
//     TestCommandThatIsNotKnown, store TestCommandAndResultInOneTransaction. There are no outputs yet.
//  8. Outputs end in their declared safe state.
//     No test yet: there are no outputs.
//  9. Booting with no network, no clock, dead sensors, no credential or a
//     damaged store is normal. READY means: sampling and storing.
//     Tests: store TestFilesCutOffOrGone and TestNothingCanBeMadeAtTheStart, gateway/sample
//     TestDeviceComesAndGoes, packaging/pi TestPi (samples before it has a
//     credential, with a clock nobody set).
//  10. A bad configuration never replaces a good one, and is explained in full:
//     every problem, with line and column.
//     Tests: cmd/fieldgate TestTenMistakesAreToldAtOnce and TestConfigurationFromTheCloud,
//     gateway/remoteconfig TestConfigurationsAtRandom. The board's own file is read at the start only.
//  11. Card wear is bounded and shown. While the cloud acks in time, readings
//     cost the card almost nothing.
//     Tests: store TestFlushIsOnePage and TestBytesWrittenWhenAcknowledgedAtOnce.
//  12. Who is not authorised gets nothing, and no secret ever appears in a log,
//     a status, a bundle or an error.
//     Tests: gateway/local TestRoutesWithDataNeedTheToken, TestForeignPagesGetNothing and
//     TestWrongTokens, uplink/cloud TestNoTokenOpensNothing and TestSecretIsNotKept.
package gateway
