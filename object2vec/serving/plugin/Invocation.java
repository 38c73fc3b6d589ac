package object2vec;

import com.amazonaws.ml.mms.util.messages.RequestInput;
import com.amazonaws.ml.mms.util.messages.WorkerCommands;
import com.amazonaws.ml.mms.wlm.Job;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A request on its way through the server's queue and a worker. */
final class Invocation extends Job {

    private final Guard guard;
    private final Front front;
    private volatile long started;

    Invocation(ChannelHandlerContext ctx, RequestInput input, Guard guard, Front front) {
        super(ctx, Workers.MODEL, WorkerCommands.PREDICT, input);
        this.guard = guard;
        this.front = front;
    }

    @Override
    public void setScheduled() {
        super.setScheduled();
        started = System.nanoTime();
    }

    /** Whether a worker has it. */
    boolean isStarted() {
        return started != 0;
    }

    /** Whether a worker has had it longer than it may, by `grace` seconds. */
    boolean isOverdue(long grace) {
        long limit = TimeUnit.SECONDS.toNanos(front.timeoutSeconds + grace);
        return isStarted() && System.nanoTime() - started >= limit;
    }

    @Override
    public void response(
            byte[] body,
            CharSequence type,
            int status,
            String phrase,
            Map<String, String> headers) {
        guard.finish(this, Answer.of(HttpResponseStatus.valueOf(status), type, body));
    }

    @Override
    public void sendError(HttpResponseStatus status, String error) {
        Refusal refusal;
        if (isOverdue(0)) {
            refusal = tooSlow();
        } else if (error != null && error.startsWith("Worker ")) {
            refusal =
                    Refusal.unavailable(
                            "The worker that had this request ended before it answered; send the "
                                    + "request again.");
        } else {
            refusal =
                    new Refusal(
                            HttpResponseStatus.INTERNAL_SERVER_ERROR,
                            "object2vec failed on this request; the server's log has the reason.");
        }
        guard.finish(this, refusal);
    }

    Refusal tooSlow() {
        return new Refusal(
                HttpResponseStatus.GATEWAY_TIMEOUT,
                "The answer took longer than "
                        + front.timeoutSeconds
                        + " seconds; send fewer instances at once, or raise "
                        + "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS where the server starts.");
    }
}
