/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import com.amazonaws.ml.mms.util.ConfigManager;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What all connections share: settings, their number, the memory of their bodies, the end. */
public final class Front {

    private static final Logger LOG = LoggerFactory.getLogger("object2vec");
    private static final long SWEEP_MILLIS = 250;
    /** A body that has come on within this time is not given up for others. */
    private static final long STALLED_NANOS = TimeUnit.SECONDS.toNanos(2);
    /** Lines of the log about refused requests, in a second; each is two. */
    private static final int REFUSALS_LOGGED = 100;

    private static Front instance;

    final int bodyLimit;
    final Contract contract;
    final long timeoutNanos;
    final RefusalLog refusals = new RefusalLog(REFUSALS_LOGGED);
    final long idleNanos;
    final long readNanos;

    private final int connectionLimit;
    private final long bodiesLimit;
    private final Set<Guard> connections = ConcurrentHashMap.newKeySet();
    private final AtomicLong bodies = new AtomicLong();
    private final Set<Invocation> started = ConcurrentHashMap.newKeySet();
    private final AtomicInteger atWork = new AtomicInteger();
    private volatile boolean draining;

    private Front(ConfigManager settings) {
        bodyLimit = settings.getMaxRequestSize();
        timeoutNanos = TimeUnit.SECONDS.toNanos(number(settings, "timeout_seconds"));
        idleNanos = TimeUnit.SECONDS.toNanos(number(settings, "idle_seconds"));
        readNanos = TimeUnit.SECONDS.toNanos(number(settings, "read_seconds"));
        connectionLimit = (int) number(settings, "connections");
        bodiesLimit = number(settings, "receiving_bytes");
        contract =
                new Contract(
                        bodyLimit,
                        text(settings, "parameters"),
                        text(settings, "media_types"),
                        text(settings, "accepted"));
    }

    private static String text(ConfigManager settings, String name) {
        String value = settings.getProperty("object2vec_" + name, null);
        if (value == null) {
            throw new IllegalArgumentException("object2vec_" + name + " is missing");
        }
        return value;
    }

    private static long number(ConfigManager settings, String name) {
        return Long.parseLong(text(settings, name));
    }

    /** Get ready for connections. */
    public static synchronized void start() {
        instance = new Front(ConfigManager.getInstance());
        thread("sweep", instance::sweep);
        thread("commands", instance::obey);
    }

    public static synchronized Front get() {
        return instance;
    }

    private static void thread(String name, Runnable work) {
        Thread thread = new Thread(work, "object2vec-" + name);
        thread.setDaemon(true);
        thread.start();
    }

    // --- room

    void opened(Guard guard) {
        connections.add(guard);
        if (connections.size() > connectionLimit) {
            Guard victim = longestWithout(null);
            (victim == null ? guard : victim).evict();
        }
    }

    void closed(Guard guard) {
        connections.remove(guard);
    }

    /** Of the connections that may be closed, the one on which nothing has come for longest. */
    private Guard longestWithout(Guard receivingBeside) {
        Guard found = null;
        long now = System.nanoTime();
        long longest = receivingBeside == null ? Long.MIN_VALUE : STALLED_NANOS;
        for (Guard guard : connections) {
            long rank = guard.pace().rank();
            boolean fits =
                    receivingBeside == null
                            || guard != receivingBeside && guard.pace().isReceiving();
            if (rank != Long.MAX_VALUE && fits && now - rank > longest) {
                longest = now - rank;
                found = guard;
            }
        }
        return found;
    }

    /** Have `bytes` more of memory for a body that comes in. */
    void reserve(Guard owner, long bytes) throws Refusal {
        if (bodies.addAndGet(bytes) <= bodiesLimit) {
            return;
        }
        Guard victim = longestWithout(owner);
        if (victim == null) {
            bodies.addAndGet(-bytes);
            throw Refusal.unavailable(
                    "Too many requests are being received at once; send it again later.");
        }
        victim.evict();
    }

    void reserved(long bytes) {
        bodies.addAndGet(bytes);
    }

    // --- time

    /** Bytes of a body that have to come in the time that a read may take. */
    long progressBytes() {
        return 1024 * TimeUnit.NANOSECONDS.toSeconds(readNanos);
    }

    long timeoutSeconds() {
        return TimeUnit.NANOSECONDS.toSeconds(timeoutNanos);
    }

    /** A worker has this one from now on. */
    void started(Invocation invocation) {
        started.add(invocation);
    }

    /** It is answered, or will never be. */
    void left(Invocation invocation) {
        started.remove(invocation);
    }

    private void sweep() {
        while (true) {
            try {
                Thread.sleep(SWEEP_MILLIS);
                long now = System.nanoTime();
                for (Guard guard : connections) {
                    if (guard.pace().isOverdue(now)) {
                        guard.callCheck();
                    }
                }
                started.forEach(Invocation::check);
                refusals.tell();
            } catch (InterruptedException error) {
                return;
            } catch (RuntimeException error) {
                LOG.error("A check of the connections failed:", error);
            }
        }
    }

    // --- the end

    void began() {
        atWork.incrementAndGet();
    }

    void ended() {
        atWork.decrementAndGet();
    }

    boolean isDraining() {
        return draining;
    }

    /** Wait for the word of the process that started this one. */
    private void obey() {
        try {
            BufferedReader commands =
                    new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            String command = commands.readLine();
            while (command != null && !command.equals("drain")) {
                command = commands.readLine();
            }
            if (command != null) {
                drain();
            }
        } catch (IOException | InterruptedException error) {
            LOG.error("Nobody can tell this server to stop any more:", error);
        }
    }

    /** Take no more requests, and end when those at work are answered. */
    private void drain() throws InterruptedException {
        draining = true;
        while (atWork.get() > 0) {
            Thread.sleep(20);
        }
        System.exit(0);
    }
}
