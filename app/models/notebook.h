#pragma once
// What the person writes and keeps beside the model: notes on layers and runs, pinned runs, and the state of the views (filter,
// zoom, chats) that a session saves. One object a workspace, its child.
#include <QMap>
#include <QObject>
#include <QSet>
#include <QString>

#include "base/json.h"

namespace lrc::app {

class Notebook : public QObject {
  Q_OBJECT
 public:
  static Notebook& of(QObject& workspace);  ///< made at first use

  QString layerNote(const QString& layer) const { return layer_notes_.value(layer); }  ///< by full name; empty: none
  void setLayerNote(const QString& layer, const QString& text);
  QString runNote(int number) const { return run_notes_.value(number); }
  void setRunNote(int number, const QString& text);
  bool isPinned(int number) const { return pinned_.contains(number); }
  void setPinned(int number, bool pinned);
  const QMap<QString, QString>& layerNotes() const { return layer_notes_; }

  /// State of a view under a name of its own ("layers", "chats"): whatever that view can read back.
  void setView(const std::string& name, Json state);
  Json view(const std::string& name) const;  ///< null when nothing is kept

  void clear();  ///< another model
  Json toJson() const;
  /// Takes what it understands; what has another type is left out, a session is a file that people may edit.
  void fromJson(const Json& json);

 signals:
  void changed();        ///< notes or pins
  void viewsRestored();  ///< a session was opened: views take their state

 private:
  explicit Notebook(QObject* parent) : QObject(parent) {}
  QMap<QString, QString> layer_notes_;
  QMap<int, QString> run_notes_;
  QSet<int> pinned_;
  Json views_ = Json::object();
};

}  // namespace lrc::app
