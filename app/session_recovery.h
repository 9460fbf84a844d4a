#pragma once
// After a crash: the run that was under way, and what was edited and not saved, are offered by a banner.

namespace lrc::app {

class Workspace;

/// Call once the window stands. Says nothing when the last session was closed.
void offer_recovery(Workspace& workspace);
/// The window was closed in order: nothing is left to recover.
void forget_recovery();

}  // namespace lrc::app
