/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import java.util.concurrent.TimeUnit;

/**
 * How far a connection has come, since when, and how long that may last.
 *
 * <p>The connection's event loop changes it; `isOverdue`, `rank` and `isReceiving` are asked, and
 * `giveUp` is called, from any thread.
 */
final class Pace {

    enum State {
        IDLE,
        HEAD,
        BODY,
        /** The request is complete and waits for its answer. */
        WAITING,
        ANSWERING,
        /** All is said; what still comes in is thrown away, so that the answer is not lost. */
        LINGERING
    }

    private static final long LINGER_NANOS = TimeUnit.SECONDS.toNanos(10);
    private static final long LINGERED_NANOS = TimeUnit.DAYS.toNanos(365);

    private final Front front;
    private volatile State state = State.IDLE;
    /** When the state began, or the last check of progress within it. */
    private volatile long since = System.nanoTime();
    /** When something came in. */
    private volatile long moved = since;
    /** What had been done at the last check of progress. */
    private long mark;

    Pace(Front front) {
        this.front = front;
    }

    State state() {
        return state;
    }

    void enter(State next) {
        state = next;
        since = System.nanoTime();
        mark = 0;
    }

    /** Something came in. */
    void move() {
        moved = System.nanoTime();
    }

    /** Whether this state has lasted long enough to be looked at. */
    boolean isOverdue(long now) {
        return now - since > limit(state);
    }

    private long limit(State state) {
        switch (state) {
            case IDLE:
                return front.idleNanos;
            case LINGERING:
                return LINGER_NANOS;
            case WAITING:
                return front.timeoutNanos;
            default:
                return front.readNanos;
        }
    }

    /** Whether enough bytes have come since the last check; if so, the state may last on. */
    boolean advances(long bytes) {
        return bytes - mark >= front.progressBytes() && lastsOn(bytes);
    }

    /** Whether what is left has changed since the last check; if so, the state may last on. */
    boolean changes(long left) {
        return left != mark && lastsOn(left);
    }

    private boolean lastsOn(long done) {
        mark = done;
        since = System.nanoTime();
        return true;
    }

    /**
     * Since when a connection that may be closed to make room waits for more; the end of time for
     * one that waits for its answer.
     */
    long rank() {
        switch (state) {
            case IDLE:
            case HEAD:
                // For an answer may have taken long, and a head may come in drops.
                return since;
            case WAITING:
            case ANSWERING:
                return Long.MAX_VALUE;
            case LINGERING:
                // It has its answer; sooner than a connection that waits for another request.
                return moved - LINGERED_NANOS;
            default:
                return moved;
        }
    }

    boolean isReceiving() {
        return state == State.BODY;
    }

    /** It is closed for others' sake, and chosen for that only once. */
    void giveUp() {
        moved = Long.MAX_VALUE;
    }
}
