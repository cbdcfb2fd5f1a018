"""The metrics of the feedback service."""

from hitl.metrics import Metric

TABLE: tuple[Metric, ...] = (
    Metric("hitl_feedback_requests_total", "counter", ("code",), "Calls by gRPC status code."),
    Metric("hitl_feedback_request_duration_seconds", "histogram", ("method",), "Time to serve a unary call."),
    Metric("hitl_feedback_commit_duration_seconds", "histogram", (), "Time of a group commit."),
    Metric("hitl_feedback_open_questions", "gauge", (), "Questions that wait for a teacher, leased or not."),
    Metric("hitl_feedback_answers_total", "counter", ("choice",), "Answers recorded."),
    Metric("hitl_feedback_retractions_total", "counter", (), "Events taken back."),
    Metric(
        "hitl_feedback_signals_total",
        "counter",
        ("placed",),
        "Signals recorded; placed is no where the steps that they were about are lost.",
    ),
    Metric("hitl_feedback_corrections_total", "counter", (), "Corrections recorded."),
    Metric("hitl_feedback_relabels_total", "counter", ("answer",), "Relabels recorded: action, or why none."),
    Metric("hitl_feedback_rankings_total", "counter", ("answer",), "Rankings recorded: ranks, or why none."),
    Metric("hitl_feedback_ratings_total", "counter", ("answer",), "Ratings recorded: rating, or why none."),
    Metric("hitl_feedback_goals_total", "counter", ("answer",), "Goals recorded: yes, no, or why neither."),
    Metric("hitl_feedback_demonstrated_steps_total", "counter", (), "Steps of demonstrations recorded."),
    Metric("hitl_feedback_thinking_duration_seconds", "histogram", (), "Time from shown to answered."),
    Metric("hitl_feedback_last_answer_timestamp_seconds", "gauge", (), "When the last answer was recorded."),
    Metric(
        "hitl_feedback_refused_events_total", "counter", ("code",), "Events refused, by gRPC status code."
    ),
)
