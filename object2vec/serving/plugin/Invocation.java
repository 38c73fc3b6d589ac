/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import com.amazonaws.ml.mms.util.messages.RequestInput;
import com.amazonaws.ml.mms.util.messages.WorkerCommands;
import com.amazonaws.ml.mms.wlm.Job;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.Map;

/** A request on its way through the server's queue and a worker. */
public final class Invocation extends Job {

    private final Guard guard;
    private final Front front;
    private volatile boolean isStarted;
    private long started;
    private Thread thread;
    private boolean ended;

    Invocation(ChannelHandlerContext ctx, RequestInput input, Guard guard, Front front) {
        super(ctx, Workers.MODEL, WorkerCommands.PREDICT, input);
        this.guard = guard;
        this.front = front;
    }

    /** Begin with it, on the worker's thread; false if nobody waits for it any more. */
    public synchronized boolean begin() {
        if (ended) {
            return false;
        }
        setScheduled();
        started = System.nanoTime();
        thread = Thread.currentThread();
        isStarted = true;
        front.started(this);
        return true;
    }

    /** Have no worker begin with it. */
    synchronized void forget() {
        if (!isStarted) {
            ended = true;
        }
    }

    /** Whether a worker has had it. */
    boolean isStarted() {
        return isStarted;
    }

    /** Answer it with an error if it takes too long, and give its worker up. */
    synchronized void check() {
        if (!ended && System.nanoTime() - started > front.timeoutNanos) {
            end(tooSlow());
            // As when the connection to the worker is lost.
            thread.interrupt();
        }
    }

    @Override
    public synchronized void response(
            byte[] body,
            CharSequence type,
            int status,
            String phrase,
            Map<String, String> headers) {
        ended = true;
        front.left(this);
        guard.finish(this, Answer.of(HttpResponseStatus.valueOf(status), type, body));
    }

    @Override
    public synchronized void sendError(HttpResponseStatus status, String error) {
        if (ended) {
            return;
        }
        if (error != null && error.startsWith("Worker ")) {
            end(
                    Refusal.unavailable(
                            "The worker that had this request ended before it answered; send the "
                                    + "request again."));
        } else {
            end(
                    new Refusal(
                            HttpResponseStatus.INTERNAL_SERVER_ERROR,
                            "object2vec failed on this request; the server's log has the reason."));
        }
    }

    private void end(Refusal refusal) {
        ended = true;
        front.left(this);
        guard.finish(this, refusal);
    }

    private Refusal tooSlow() {
        return new Refusal(
                HttpResponseStatus.GATEWAY_TIMEOUT,
                "The answer took longer than "
                        + front.timeoutSeconds()
                        + " seconds; send fewer instances at once, or raise "
                        + "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS where the server starts.");
    }
}
