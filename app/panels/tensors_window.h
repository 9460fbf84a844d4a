#pragma once
#include <QDialog>

namespace lrc::app {

class Workspace;

/// A checkpoint as its tensors, in a window of its own that is not modal: table, shapes, histograms, spectra. Closing deletes it.
QDialog* make_tensors_window(Workspace& workspace, const QString& path, QWidget* parent);

}  // namespace lrc::app
